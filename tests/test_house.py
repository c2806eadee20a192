"""The tree in CONTRIBUTING shows the rooms that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
LIBRARY = ROOT / "tfxmodal"
MIRRORED_ELSEWHERE = {"tfxmodal/dev_server"}
"""Its tests lie in tests/serving, where they are those of any server."""


def rooms_of_the_tree() -> dict[str, str]:
    """The folders in the tree, each with its line of text."""
    tree = re.search(r"```\n(tfxmodal/.*?)```", CONTRIBUTING, re.DOTALL)[1]
    found, path = {}, []
    for line in tree.splitlines():
        indent, name, text = re.fullmatch(r"( *)(\w+)/ +(\S.*)", line).groups()
        path = [*path[: len(indent) // 2], name]
        found["/".join(path)] = text
    return found


def packages() -> set[str]:
    """The packages of the library that hold more than generated code."""
    return {
        str(path.parent.relative_to(ROOT))
        for path in LIBRARY.rglob("__init__.py")
        if path.parent.name != "protos"
    }


def test_the_tree_has_a_line_for_every_room_and_no_other():
    shown = {path for path in rooms_of_the_tree() if path.startswith("tfxmodal")}
    assert shown == packages()


def test_a_folder_in_the_tree_is_there():
    assert all((ROOT / path).is_dir() for path in rooms_of_the_tree())


def test_every_folder_of_the_library_is_a_package():
    folders = {path.parent for path in LIBRARY.rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_the_tests_mirror_the_rooms():
    rooms = {path for path in packages() if path.count("/") == 1} - MIRRORED_ELSEWHERE
    missing = {room for room in rooms if not (ROOT / room.replace("tfxmodal", "tests")).is_dir()}
    assert not missing


def test_every_room_but_the_commands_and_the_server_is_in_the_reference():
    pages = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs/api").glob("*.md"))
    rooms = {path.replace("/", ".") for path in packages() if path.count("/") == 1}
    shown = set(re.findall(r"^::: (\S+)", pages, re.MULTILINE))
    assert rooms - {"tfxmodal.commands", "tfxmodal.dev_server"} <= shown
