"""Input that an attacker, a broken peer or a broken disk may hand us, made by machines.

One list of targets (`targets.py`), each a function of bytes that must end, soon, with nothing or with one of the errors
it names. Three drivers: `test_fuzz.py` replays the corpus under `tests/vectors` and adds noise to it, in every run of
the tests; `python -m tests.fuzz TARGET --for 60s` looks for more, guided by coverage; with RTCCTL_SLOW=1 a test does
that for each target.
"""
