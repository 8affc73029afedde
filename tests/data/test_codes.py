"""Languages are known by the codes and names that people give them."""

from serenanet_modules.data.codes import LANGUAGES, language


def test_a_language_is_known_by_all_its_names():
    rows = [row.split(":") for row in LANGUAGES.split()]
    assert len(rows) == 183 and all(len(code) == 2 and len(long) == 3 for code, long, _ in rows)
    assert {code for code, *_ in rows} == {language(code) for code, *_ in rows}
    for code, *others in rows:
        for name in (*others, code.upper(), f"{code}-XX", f"{code}_xx", f" {others[-1].replace('_', ' ').title()} "):
            assert language(name) == code


def test_other_names_and_parts_of_macrolanguages():
    assert [language(name) for name in ("swh", "Kiswahili", "cmn-Hans", "Luganda", "Bokmål")] == [
        "sw",
        "sw",
        "zh",
        "lg",
        "nb",
    ]
    assert language("mdw") == "mdw" and language("auto") == "auto"
