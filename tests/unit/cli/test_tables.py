from atml.cli.console import err, out
from atml.cli.tables import new_table


def test_text_that_looks_like_markup_is_printed_as_it_is(capsys):
    table = new_table("old[/models]", "check", "detail")
    table.add_row("logits", "old[/models]/r[v2]/vectors.npz is missing :warning:")
    out().print(table)
    err().print("ParityError: [n, L] [/n, L]")
    printed = capsys.readouterr()
    assert printed.out.startswith("old[/models] ")
    assert "old[/models]/r[v2]/vectors.npz is missing :warning:" in printed.out
    assert printed.err == "ParityError: [n, L] [/n, L]\n"
