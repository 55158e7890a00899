"""Lines of progress: what goes on is told while the caller waits, and a return has its unit."""

from purejaxrl_ppo.logs import Terminal


def test_who_waits_is_told_what_goes_on(capsys):
    terminal, said = Terminal(100, 0, quiet=False, line_every=0.01), ""
    with terminal.waiting("compiling"):
        while said.count("compiling: 0 s\n") < 2:
            said += capsys.readouterr().out
    capsys.readouterr()
    with Terminal(100, 0, quiet=True, line_every=0.0).waiting("compiling"):
        pass
    assert capsys.readouterr().out == ""


def test_a_return_has_a_unit(capsys):
    for unit in ({}, {"unit": "R ($412) an episode"}):
        Terminal(100, 0, quiet=False, **unit).update(100, 100, 50.0, 1.25, 0.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "100 of 100 steps  return 1.25 reward an episode  50 steps/s  0 s left"
    assert "return 1.25 R ($412) an episode" in lines[1]
