"""What a search service allows, and how long it waits."""

from dataclasses import dataclass

from tfxmodal.errors import check_ranges


@dataclass(frozen=True)
class Limits:
    """Limits of requests.

    Those that are shipped may need 5.3 GB: 0.6 for the service, 0.8 for each of two pictures that
    are decoded at once, and 32 requests of 32 MB, each of which is held three times: as it arrived
    in /tmp, as it was read, and as it is sent to the model server. The containers are allowed 6.
    """

    max_upload: float = 32.0
    """Megabytes of a request."""

    max_requests: int = 32
    """Requests under way at once, those that need no key aside; more are told to come again."""

    body_seconds: float = 30.0
    """Time in which a request must have arrived, and the caller take each part of the answer."""

    deadline: float = 10.0
    """Seconds that the model server may take for a request, retries included."""

    write_seconds: float = 5.0
    """Seconds that a write waits for others to end."""

    max_found: int = 100
    """Items that a search gives at most."""

    max_text: int = 10_000
    """Characters of a text."""

    def __post_init__(self):
        check_ranges(
            self,
            max_upload="(0, inf)",
            max_requests="[1, inf)",
            body_seconds="(0, inf)",
            deadline="(0, inf)",
            write_seconds="[0, inf)",
            max_found="[1, inf)",
            max_text="[1, inf)",
        )
