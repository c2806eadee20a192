import numpy as np

from tests.serving import fuzz, tiny

REQUESTS = 3_000


def test_malformed_requests_do_no_harm(server):
    with server.client(deadline=60) as client:
        red = [tiny.picture()]
        before = client.embed_images(red), client.search_images(["red"])
        _, signatures = client.metadata()
        counts = fuzz.answers(client, fuzz.requests(REQUESTS, "tiny", signatures))
        after = client.embed_images(red), client.search_images(["red"])
    assert counts.total() == REQUESTS
    assert counts.keys() - {"valid"} <= fuzz.EXPECTED, counts
    assert counts["valid"] > 0.02 * REQUESTS
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1][0].tolist() == after[1][0].tolist()
