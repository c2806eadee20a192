import pytest
from starlette.testclient import TestClient

from tests.service.fake import FakeClient, picture
from tfxmodal.service.app import make_app
from tfxmodal.service.catalogue import Catalogue
from tfxmodal.service.config import Limits
from tfxmodal.service.galleries import Galleries
from tfxmodal.service.observing import Metrics


@pytest.fixture
def model() -> FakeClient:
    return FakeClient()


def one_gallery(folder, model: FakeClient) -> Galleries:
    """A folder with the empty gallery of version 1."""
    galleries = Galleries(folder, model)
    galleries.switch(galleries.make(1, "f1").name)
    return galleries


@pytest.fixture
def galleries(tmp_path, model) -> Galleries:
    return one_gallery(tmp_path / "gallery", model)


@pytest.fixture
def catalogue(galleries) -> Catalogue:
    return Catalogue(galleries, write_seconds=0.2)


DEFAULT = Limits()


class Asking(TestClient):
    """A service that is asked in this process.

    Attributes:
        log: What it told of its requests.
        metrics: Its metrics.
    """

    def __init__(self, catalogue: Catalogue, limits: Limits = DEFAULT, **options):
        self.catalogue, self.log, self.metrics = catalogue, [], Metrics()
        catalogue.step = self.metrics.step
        app = make_app(
            catalogue,
            limits,
            metrics=self.metrics,
            log=lambda **told: self.log.append(told),
            **options,
        )
        super().__init__(app, "http://localhost", raise_server_exceptions=False)

    def put_picture(self, name: str, colour="red", **fields):
        return self.put("/items", data={"id": name, **fields}, files={"image": picture(colour)})

    def found(self, **asked) -> list[str]:
        """Ids of what is found."""
        files = {"image": asked.pop("image")} if "image" in asked else None
        answer = self.post("/search", data=asked, files=files)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]


@pytest.fixture
def service(catalogue) -> Asking:
    return Asking(catalogue)


def fill(service: Asking) -> Asking:
    """Three pictures with captions and years, and two texts."""
    for year, colour in enumerate(("red", "green", "blue"), start=2020):
        metadata = f'{{"year": {year}, "warm": {str(colour == "red").lower()}}}'
        answer = service.put_picture(colour, colour, text=f"a {colour} wall", metadata=metadata)
        assert answer.status_code == 200, answer.text
    for name in ("car", "field"):
        put = service.put("/items", data={"id": f"texts/{name}", "text": f"{name} in green"})
        assert put.status_code == 200, put.text
    return service


@pytest.fixture
def filled(service) -> Asking:
    return fill(service)
