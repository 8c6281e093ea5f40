"""An invoice as a PDF (A4), by reportlab."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from modelyard.billing.invoice import Document, Invoice, InvoiceState, Line
from modelyard.billing.profile import Party
from modelyard.billing.quantity import whole
from modelyard.billing.rate import Unit
from modelyard.core.errors import NotInstalled

_UNITS: Final = {
    Unit.REQUEST: "requests",
    Unit.ROW: "rows",
    Unit.INPUT_TOKEN: "input tokens",
    Unit.CACHED_TOKEN: "cached input tokens",
    Unit.OUTPUT_TOKEN: "output tokens",
    Unit.COMPUTE_SECOND: "seconds of computing",
    Unit.TRAINING_SECOND: "seconds of training",
    Unit.GB_HOUR: "GB hours stored",
}
_PLAIN: Final = "Vera"
_BOLD: Final = "VeraBd"
_CJK: Final = "STSong-Light"
_GREY: Final = "#5f6b7a"
_LINE: Final = "#c9d1da"
_SHADE: Final = "#f3f5f8"


def invoice_pdf(invoice: Invoice) -> bytes:
    """The invoice as one would send it. Raises NotInstalled without the extra `pdf`."""
    try:
        from reportlab.platypus import SimpleDocTemplate
    except ModuleNotFoundError:
        hint = "invoices in PDF need an extra: pip install 'modelyard[pdf]'"
        raise NotInstalled(hint) from None
    _register_fonts()
    target = io.BytesIO()
    document = invoice.document
    title = f"Invoice {document.number or '(draft)'}"
    template = SimpleDocTemplate(
        target,
        pagesize=_A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 10,
        title=title,
        author=document.issuer.name,
        invariant=1,
    )
    template.build(_story(invoice), canvasmaker=_numbered(title))
    return target.getvalue()


_MM: Final = 72 / 25.4
_A4: Final = (210 * _MM, 297 * _MM)
_MARGIN: Final = 20 * _MM
_WIDTH: Final = _A4[0] - 2 * _MARGIN


def _register_fonts() -> None:
    """Fonts that come with the library and go into the file; that of Chinese is the reader's."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    if _PLAIN not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(_PLAIN, "Vera.ttf"))
        pdfmetrics.registerFont(TTFont(_BOLD, "VeraBd.ttf"))
        pdfmetrics.registerFont(UnicodeCIDFont(_CJK))


def _story(invoice: Invoice) -> list[Any]:
    from reportlab.platypus import KeepTogether, Spacer

    document = invoice.document
    return [
        _head(invoice),
        Spacer(1, 14 * _MM),
        _parties(document),
        Spacer(1, 10 * _MM),
        _lines(document),
        Spacer(1, 5 * _MM),
        KeepTogether([_totals(document), Spacer(1, 8 * _MM), *_notes(document)]),
    ]


def _head(invoice: Invoice) -> Any:
    document = invoice.document
    zone = ZoneInfo(document.time_zone)
    last = (document.period.end - timedelta(microseconds=1)).astimezone(zone)
    begin = document.period.start.astimezone(zone)
    issued = "not issued" if document.issued_at is None else _day(document.issued_at, zone)
    stamp = {InvoiceState.DRAFT: "DRAFT", InvoiceState.PAID: "PAID", InvoiceState.VOID: "VOID"}
    facts = [
        ("Number", document.number or "-"),
        ("Date", issued),
        ("Period", f"{begin:%Y-%m-%d} to {last:%Y-%m-%d} ({document.time_zone})"),
        ("Customer", document.tenant_id),
    ]
    title = f"Invoice{'' if invoice.state not in stamp else ' - ' + stamp[invoice.state]}"
    about = "<br/>".join(f"<font color='{_GREY}'>{n}</font>&nbsp; {_marked(v)}" for n, v in facts)
    return _table(
        [[_paragraph(_marked(title), size=20, bold=True), _paragraph(about, right=True)]],
        [_WIDTH * 0.42, _WIDTH * 0.58],
    )


def _parties(document: Document) -> Any:
    columns = []
    for heading, party in (("From", document.issuer), ("Bill to", document.customer)):
        columns.append(_paragraph(f"<font color='{_GREY}'>{heading}</font><br/>{_party(party)}"))
    return _table([columns], [_WIDTH / 2, _WIDTH / 2])


def _party(party: Party) -> str:
    rest = [*party.address, party.email, f"Tax ID {party.tax_id}" if party.tax_id else ""]
    lines = [f"<font name='{_BOLD}'>{_marked(party.name)}</font>"]
    return "<br/>".join([*lines, *(_marked(text) for text in rest if text)])


def _lines(document: Document) -> Any:
    headings = [
        _paragraph("Item", bold=True),
        _paragraph("Quantity", bold=True, right=True),
        _paragraph("Price", bold=True),
        _paragraph(f"Amount ({document.currency})", bold=True, right=True),
    ]
    rows = [headings, *(_row(document, line) for line in document.lines)]
    style = [
        ("BACKGROUND", (0, 0), (-1, 0), _SHADE),
        ("LINEBELOW", (0, 0), (-1, -1), 0.5, _LINE),
        ("TOPPADDING", (0, 0), (-1, -1), 4),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
    ]
    widths = [_WIDTH * share for share in (0.36, 0.2, 0.24, 0.2)]
    return _table(rows, widths, style, repeat=1)


def _row(document: Document, line: Line) -> list[Any]:
    charge = line.charge
    item = _marked(line.item)
    if line.period != document.period:
        zone = ZoneInfo(document.time_zone)
        said = f"used before {_day(line.period.end, zone)}, recorded later"
        item += f"<br/><font color='{_GREY}'>{said}</font>"
    if charge.unit is None:
        quantity, terms = "", "monthly minimum"
    else:
        amount = f"{whole(charge.unit, charge.quantity):,f}"
        quantity = f"{amount}<br/><font color='{_GREY}'>{_UNITS[charge.unit]}</font>"
        each = "per million" if charge.unit.priced_by else "each"
        terms = f"{_marked(line.terms)}<br/><font color='{_GREY}'>{each}</font>"
    return [
        _paragraph(item),
        _paragraph(quantity, right=True),
        _paragraph(terms),
        _paragraph(_money(charge.amount), right=True),
    ]


def _totals(document: Document) -> Any:
    label = document.tax_label or "Tax"
    rate = f"{document.tax_rate * 100:f}".rstrip("0").rstrip(".") if document.tax_rate else "0"
    rows = [("Subtotal", document.subtotal), (f"{label} {rate} %", document.tax)]
    rows.append(("Total", document.total))
    if document.credit:
        rows.append(("Credit applied", -document.credit))
    last = (f"Amount due ({document.currency})", document.due)
    cells = [
        ["", _paragraph(_marked(name)), _paragraph(_money(amount), right=True)]
        for name, amount in rows
    ]
    cells.append(
        [
            "",
            _paragraph(_marked(last[0]), bold=True),
            _paragraph(_money(last[1]), bold=True, right=True),
        ]
    )
    style = [
        ("LINEABOVE", (1, -1), (-1, -1), 1, _GREY),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
    ]
    return _table(cells, [_WIDTH * 0.45, _WIDTH * 0.35, _WIDTH * 0.2], style)


def _notes(document: Document) -> list[Any]:
    texts = ["Each line is rounded to the currency's smallest coin, half away from zero."]
    if document.due <= 0:
        texts.append("Nothing is left to be paid.")
    if document.number is None:
        texts.append("This is a draft: it may change until it is final.")
    return [_paragraph(f"<font color='{_GREY}'>{text}</font>") for text in texts]


def _money(amount: Decimal) -> str:
    return f"{amount:,f}"


def _day(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d}"


def _marked(text: str) -> str:
    """The text with its markup made harmless, and what the font lacks set in another one."""
    from reportlab.pdfbase import pdfmetrics

    known = pdfmetrics.getFont(_PLAIN).face.charToGlyph
    runs: list[tuple[bool, str]] = []
    for character in text:
        foreign = ord(character) not in known
        if runs and runs[-1][0] == foreign:
            runs[-1] = (foreign, runs[-1][1] + character)
        else:
            runs.append((foreign, character))
    return "".join(
        f"<font name='{_CJK}'>{escape(run)}</font>" if foreign else escape(run)
        for foreign, run in runs
    )


def _paragraph(markup: str, *, size: int = 9, bold: bool = False, right: bool = False) -> Any:
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle(
        "text",
        fontName=_BOLD if bold else _PLAIN,
        fontSize=size,
        leading=size * 1.4,
        alignment=TA_RIGHT if right else TA_LEFT,
        splitLongWords=1,
    )
    return Paragraph(markup, style)


def _table(
    rows: list[list[Any]], widths: list[float], style: list[Any] | None = None, *, repeat: int = 0
) -> Any:
    from reportlab.platypus import Table, TableStyle

    made = Table(rows, colWidths=widths, repeatRows=repeat)
    made.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *(style or [])]))
    return made


def _numbered(title: str) -> Any:
    """A canvas that knows the last page's number when it writes the first one's foot."""
    from reportlab.pdfgen.canvas import Canvas

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                self.setFont(_PLAIN, 8)
                self.setFillColor(_GREY)
                self.drawString(_MARGIN, 12 * _MM, title)
                foot = f"Page {number} of {len(self._pages)}"
                self.drawRightString(_A4[0] - _MARGIN, 12 * _MM, foot)
                super().showPage()
            super().save()

    return Numbered
