from atml.cli import console
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


def test_the_remaining_time_is_that_of_the_recording_at_hand(monkeypatch, capsys):
    seconds = iter([0.0, 0.0, 60.0, 60.0, 65.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(seconds))
    update = console._plain_lines("Predicting", "s")
    for done in (0, 100, 0, 50):
        update(done, 100)
    assert capsys.readouterr().err.splitlines()[-1] == "Predicting: 50/100 s, about 00:05 left"


def test_a_table_is_printed_in_a_terminal_of_a_few_columns(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "8")
    table = new_table("trials", "trial", "architecture")
    table.add_row("1", "tiny_cnn")
    out().print(table)
    assert "tiny_cnn" in capsys.readouterr().out
