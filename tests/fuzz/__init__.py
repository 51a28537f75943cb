"""Bad input of every kind, made by seeded mutation of good input, through the commands that read it.

`python -m tests.fuzz.campaign 10000` runs as many as that and prints a table; the suite runs a few hundred.
A command must refuse in a sentence or give the right answer. A traceback, a hang, a crash, a half-written
file, a wrong answer or a secret in a message is a defect.
"""
