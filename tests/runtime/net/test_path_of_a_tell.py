"""A tell to another node passes few files, and `docs/internals/life-of-a-message.md` names each of them."""

import re
import sys
from types import FrameType

from tests.layout.sources import ROOT
from tests.runtime.net.stage import Add, Clerk, Sum, paired
from trouper import ActorRef, Node
from trouper.testing import settle

FILES_MAX = 11
"""Files of the runtime that a tell to a child on another node may pass; the transport has one more."""
PAGE = ROOT / "docs/internals/life-of-a-message.md"


async def files_of_a_tell(ref: ActorRef) -> set[str]:
    """Send one message, and return the files of the runtime that it passed until its handler had run."""
    files: set[str] = set()

    def on_call(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "/trouper/runtime/" in frame.f_code.co_filename:
            files.add(frame.f_code.co_filename.partition("/trouper/runtime/")[2])

    sys.setprofile(on_call)
    try:
        ref.tell(Add(1))
        await settle()
    finally:
        sys.setprofile(None)
    return files


@paired
async def test_a_tell_to_another_node_passes_few_files(a: Node, b: Node) -> None:
    """Those that the page lists, no matter how the receiver was found."""
    ada = await a.spawn(Clerk, place="b")
    for n in range(3):
        ada.tell(Add(n))
    assert await ada.ask(Sum()) == 3
    await settle()
    passed = await files_of_a_tell(ada)
    assert await ada.ask(Sum()) == 4
    section = PAGE.read_text("utf-8").partition("## A tell to another node")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| \d+ \| `runtime/([\w/]+\.py)`", section, re.MULTILINE))
    assert not passed - listed, "the page must name them"
    assert len(passed) <= FILES_MAX
