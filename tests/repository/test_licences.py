"""docs/licences.md, which `make audit` writes, is that of the packages that are pinned."""

import re

from tests.support.tiny import ROOT


def test_the_list_is_that_of_the_pins():
    pins = re.findall(r"^([\w.-]+)==([^;\s]+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    rows = re.findall(
        r"^\| ([\w.-]+) \| (\S+) \| (.+) \|$", (ROOT / "docs/licences.md").read_text(encoding="utf-8"), re.M
    )
    assert [row[:2] for row in rows[1:]] == pins and len(pins) > 50
    assert not [row for row in rows if row[2] == "not installed here"]
