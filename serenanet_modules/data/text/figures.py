"""Figures whose separators say what they are: telephone numbers, dates, ranges."""

import re

GAP = r"[ \u00a0\u202f./-]"
PHONE = re.compile(rf"(?<![\w.,+-])(?:\+|(?=0))\d(?:(?:{GAP}|{GAP}?\(|\){GAP}?)?\d){{8,14}}(?![\w-])")
DATE = re.compile(
    r"(?<![\w./-])(?:(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)|(?P<a>\d\d?)([./-])(?P<b>\d\d?)\5(?P<c>\d{4}))(?![\w/-])"
)
RANGE = re.compile(r"(?<![\w.,:/-])(\d{1,9})\s?[\u2013-]\s?(\d{1,9})(?![\w:/-]|[.,]\d)")
POINTED = re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{3}){2,}(?![\w.]*\d)")


def read(text, digits, date, to):
    """Put words in the place of what is no plain number.

    - Telephone numbers, of 9 digits and more with ``+`` or a 0 before: digit by digit.
    - Dates with a year of four digits. The day comes first, but where only the other way is a date.
    - Ranges (``10-20``) that go up. Points between groups of three digits, if there are two and more, go.

    Parameters
    ----------
    text : str
    digits : callable
        From digits to words, one a digit.
    date : callable
        From day, month and year, whole numbers, to words.
    to : str
        What is said between the ends of a range.

    Examples
    --------
    >>> date = "{}th of {}, {}".format
    >>> read("+255 712 345 678, 3/4/2019, 12.31.2019, 10-20, 1.250.000", lambda said: "#" * len(said), date, "to")
    ' ############ , 3th of 4, 2019 , 31th of 12, 2019 ,  10 to 20 , 1250000'
    """
    text = PHONE.sub(lambda m: " " + digits("".join(filter(str.isdigit, m[0]))) + " ", text)
    text = DATE.sub(lambda m: _date(m, date), text)
    text = POINTED.sub(lambda m: m[0].replace(".", ""), text)
    return RANGE.sub(lambda m: f" {m[1]} {to} {m[2]} " if int(m[1]) < int(m[2]) else m[0], text)


def _date(match, say):
    """A date in words; itself where it is none."""
    if match["year"]:
        orders = [(match["day"], match["month"], match["year"])]
    else:
        orders = [(match[x], match[y], match["c"]) for x, y in ("ab", "ba")]
    known = [tuple(map(int, order)) for order in orders]
    found = next((order for order in known if 1 <= order[0] <= 31 and 1 <= order[1] <= 12), None)
    return f" {say(*found)} " if found and found[2] >= 1000 else match[0]
