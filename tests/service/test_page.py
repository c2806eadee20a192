"""The page in a browser without a window."""

import re
import shutil
import subprocess
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from tests.service.conftest import Asking, fill, one_gallery
from tests.service.fake import COLOURS, FakeClient
from tests.waiting import PATIENCE
from tfxmodal.service.catalogue import Catalogue

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
HEADLESS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--virtual-time-budget=20000"
).split()

# The page in frames, what is done there, and what is to be seen afterwards.
FRAMES = """<main></main><script>
const said = [];
const until = async met => {
  for (let times = 0; !met(); times++) {
    if (times > 100) throw new Error(`never: ${met}`);
    await new Promise(done => setTimeout(done, 50));
  }
};
const use = async frame => {
  const page = frame.contentDocument, at = id => page.getElementById(id);
  const shown = () => [...page.querySelectorAll("#found .caption")].map(each => each.textContent);
  const tell = () => said.push(`${at("heading").textContent}: ${shown().join("|")}`);
  const found = text => until(() => at("heading").textContent.includes(text));
  await found("From the gallery");
  SCRIPT
};
(async () => {
  for (const width of WIDTHS) {
    const frame = document.createElement("iframe");
    [frame.src, frame.width, frame.height] = ["/", width, 700];
    document.body.append(frame);
    await new Promise(done => frame.onload = done);
    await use(frame).catch(error => said.push(error.message));
  }
  document.querySelector("main").textContent = said.join("\\n");
})();
</script>"""

USE = """
  said.push(at("size").textContent, at("columns").textContent), tell();
  at("ask").text.value = "green quux"; at("ask").requestSubmit();
  await found("Images for"); tell(); said.push(at("told").textContent);
  at("ask").where.value = "year < 2021"; at("ask").requestSubmit();
  await until(() => shown().length == 1); tell();
  at("ask").where.value = "month = 1"; at("ask").requestSubmit();
  await until(() => !at("wrong").hidden); said.push(at("wrong").textContent);
  at("ask").where.value = "";
  const blob = await (await frame.contentWindow.fetch("/pictures/blue")).blob();
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([blob], "mine.png"));
  page.dispatchEvent(new DragEvent("drop", {dataTransfer}));
  await found("for this image"); tell();
  page.querySelector("#found button").click();
  await found("like"); tell();
  at("add").open = true;
  at("put").elements.id.value = "mine"; at("put").text.value = "my sea";
  at("put").metadata.value = '{"year": 2030}'; at("put").image.files = dataTransfer.files;
  at("put").requestSubmit();
  await until(() => at("size").textContent.includes("4 images"));
  said.push(at("told").textContent);
  const nothing = new DataTransfer();
  nothing.items.add(new File([], "empty.png"));
  at("put").elements.id.value = "mine"; at("put").text.value = "my sea";
  at("put").image.files = nothing.files; at("put").requestSubmit();
  await until(() => !at("wrong").hidden); said.push(at("wrong").textContent);
  at("put").image.value = ""; at("put").elements.id.value = "text"; at("put").requestSubmit();
  await until(() => at("size").textContent.includes("3 texts"));
  said.push(at("size").textContent);
  frame.contentWindow.confirm = () => true;
  at("ask").text.value = "blue"; at("ask").requestSubmit();
  await found("for “blue”");
  const mine = [...page.querySelectorAll("#found li")].find(each => each.title == "mine");
  mine.querySelectorAll("button")[1].click();
  await until(() => at("size").textContent.includes("3 images"));
  said.push(at("size").textContent);
"""

WIDTH = """
  const first = at("found").children[0].getBoundingClientRect();
  said.push(page.documentElement.scrollWidth, first.bottom | 0);
"""


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """`browse("/path", *flags)`: what a browser prints that opens it."""
    if not BROWSER:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)}")
    folder = tmp_path_factory.mktemp("page")
    filled = fill(Asking(Catalogue(one_gallery(folder / "gallery", FakeClient()))))
    frames = {"use": ([1100], USE), "fits": ([360, 1800], WIDTH)}

    def framed(request):
        widths, script = frames[request.path_params["name"]]
        return HTMLResponse(FRAMES.replace("WIDTHS", str(widths)).replace("SCRIPT", script))

    app = Starlette(routes=[Route("/frames/{name}", framed), Mount("/", filled.app)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def open_page(path: str, *flags: str) -> str:
        command = [BROWSER, *HEADLESS, f"--user-data-dir={folder / 'browser'}", *flags]
        url = f"http://localhost:{port}{path}"
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=5 * PATIENCE)
        return done.stdout

    yield open_page
    server.should_exit = True
    thread.join()


def said_by(html: str) -> list[str]:
    return re.search("<main>(.*?)</main>", html, re.DOTALL)[1].splitlines()


def test_the_page_is_used(browse):
    said = said_by(browse("/frames/use", "--dump-dom"))
    size, columns, first, found, unknown, one, wrong, image, like, put, empty, text, left = said
    assert size.startswith("3 images and 2 texts") and "warm (boolean), year (number)" in columns
    assert "a red wall" in first and "a green wall" in first
    assert found == "Images for “green quux”: a green wall|a blue wall|a red wall"
    assert unknown == "The model does not know: quux"
    assert one == "Images for “green quux”: a red wall" and "'month'" in wrong
    assert image.startswith("Images for this image: a blue wall|")
    assert like.startswith("Images like “a blue wall”: ") and "|" in like
    assert "mine" in put and "`image` is refused" in empty
    assert text.startswith("4 images and 3 texts") and left.startswith("3 images")


def test_the_page_fits_a_window_and_shows_examples_on_its_first_screen(browse):
    narrow, one, wide, other = map(int, said_by(browse("/frames/fits", "--dump-dom")))
    assert narrow <= 360 and wide <= 1800 and one <= 700 and other <= 700


def test_the_page_draws_the_pictures(browse, tmp_path):
    from PIL import Image

    browse("/", f"--screenshot={tmp_path / 'page.png'}")
    with Image.open(tmp_path / "page.png") as screenshot:
        colours = [c for _, c in screenshot.convert("RGB").getcolors(2**24)]
    for wanted in COLOURS.values():  # As JPEG keeps them.
        assert any(
            max(abs(a - b) for a, b in zip(each, wanted, strict=True)) < 9 for each in colours
        )


def test_the_page_needs_nothing_from_elsewhere(service):
    answer = service.get("/")
    assert "http:" not in answer.text and "https:" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
