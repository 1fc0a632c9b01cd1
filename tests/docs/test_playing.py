"""What plays documents complains about bad ones: each here is wrong in one way, and the complaint names its line."""

import pytest

from support.command_lines import complaints_about_line, complaints_about_mention, complaints_about_text, missing_inputs
from support.documents import blocks_of, commands_of
from support.playing import play, same_line, unprinted_numbers

MODEL = "examples/max4_v16.safetensors"
LINE = (
    "s VERIFIED correct>=54493/65536 accuracy>=0.831497 task=max-of-k dist=uniform semantics=real weights=sha256:a9c7... "
    "rule=cubic flops=170047 ops=1399416 bytes=605 question=sha256:df8c... assumed=-"
)
PROVE = f"$ pessimal prove {MODEL} --strategy cubic --out a.cert"


def block(language, *lines, before=""):
    return "".join(f"{line}\n" for line in ([before] if before else []) + [f"```{language}", *lines, "```"])


GOOD = block("console", PROVE, LINE)


def test_a_good_document_has_no_complaints_and_says_what_it_printed(tmp_path):
    played = play(GOOD, tmp_path)
    assert played.complaints == complaints_about_text(GOOD) == []
    assert "54493/65536" in played.printed
    assert (tmp_path / "a.cert").is_file()


NUMBERS = ("54493", "65536", "0.831497", "a9c7", "170047", "1399416", "605", "df8c")


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_of_a_verdict_line_may_be_off_by_one(number, tmp_path):
    """Masks and cut digests hide none of them."""
    last = number[-1]
    wrong = number[:-1] + chr(ord(last) + (1 if last not in "9f" else -1))
    complaints = play(GOOD.replace(number, wrong), tmp_path).complaints
    assert complaints
    assert complaints[0].startswith("line 2: ")


# What is wrong, the document, the line of the complaint, what it says.
PLAYED = {
    "a line that is not printed": (block("console", "$ pessimal strategies --task max-of-k", "nothing"), 2, "shows 'nothing'"),
    "a line of stdout that is left out": (block("console", "$ ls examples/veto.py examples/make.py", "examples/make.py"), 2, "does not show"),
    "lines in another order": (block("console", "$ ls examples/veto.py examples/make.py", "examples/veto.py", "examples/make.py"), 2, "shows"),
    "a command that fails": (block("sh", "pessimal info no.safetensors"), 2, "exit code 2"),
    "a rejection that is not shown": (GOOD + block("sh", "pessimal check a.cert weights/max2_v64_seed0.safetensors"), 6, "exit code 1"),
    "a refusal of other words": (block("console", "$ pessimal info no.safetensors", "pessimal: what?"), 2, "No such file"),
    "a file that no earlier block writes": (block("sh", "pessimal check b.cert examples/max4_v16.pt"), 2, "exit code"),
    "a program that is not run": (block("sh", "pip install ."), 2, "pip is not run here"),
    "a script that fails": (block("sh", "python3 -c 'raise SystemExit(3)'"), 2, "exit code 3"),
    "a pipe": (block("sh", "ls examples | cat"), 2, "| is not played"),
    "a block that raises": (block("python", "import pessimal as ps", "ps.no_such_name"), 3, "raises AttributeError"),
    "a block that does not parse": (block("python", "if"), 2, "SyntaxError"),
    "a printed comment": (block("python", "x = 2", "print(x + 1)  # 4"), 3, "shows '4'; printed: '3'"),
    "a comment beside a value": (block("python", "sum([1, 2])  # 4"), 2, "shows '4'; printed: '3'"),
    "an answer of a session": (block("python", ">>> 1 + 1", "3"), 1, "Expected: 3 Got: 2"),
    "the output below a block": (block("python", "print(3)") + "\n" + block("text", "4"), 5, "shows '4'"),
    "the output below commands": (block("sh", "ls examples/veto.py") + block("text", "veto.py"), 4, "shows 'veto.py'"),
    "half of the output below a block": (block("python", "print(3, 4, sep=chr(10))") + block("text", "3"), 4, "does not show '4'"),
    "a name of another block's that is not there": (block("python", "a = 1") + block("python", "b"), 5, "NameError"),
    "JSON": (block("json", "{"), 1, "JSONDecodeError"),
    "TOML": (block("toml", "a = "), 1, "TOMLDecodeError"),
    "a machine": (block("json", '{"k": 2, "d_vocab": 3, "start": 9, "moves": [[0, 0, 0]], "outputs": [0]}'), 1, "TaskError"),
    "a distribution": (block("json", '{"name": "product", "weights": [[1, -1]]}'), 1, "DistributionError"),
    "a key of a configuration": (block("toml", 'checkpoints = "weights"', "kk = 4"), 1, "unknown key 'kk'"),
    "an entry point of nobody": (block("toml", '[project.entry-points."pessimal.strategy"]', 'a = "a:B"'), 1, "is not pessimal.strategies"),
    "an entry point to nothing": (block("toml", '[project.entry-points."pessimal.strategies"]', 'a = "a:B"'), 1, "a.py: No such"),
    "a header of no certificate": (block("json", '{"format": "pessimal-certificate/1"}'), 1, "no certificate of this document"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", PLAYED)
def test_what_is_shown_and_not_so_is_complained_about(wrong, tmp_path):
    text, line, says = PLAYED[wrong]
    complaints = play(text, tmp_path).complaints
    assert len(complaints) == 1
    assert complaints[0].startswith(f"line {line}: ")
    assert says in complaints[0]


def test_a_document_that_writes_into_what_is_shipped_is_complained_about(tmp_path):
    root, folder = tmp_path / "root", tmp_path / "folder"
    (root / "examples").mkdir(parents=True)
    folder.mkdir()
    complaints = play(block("sh", "ls examples > examples/stray.txt"), folder, root).complaints
    assert complaints == ["line 0: a command writes into what the repository ships"]


def test_blocks_share_files_names_and_refusals_that_are_shown(tmp_path):
    text = (
        block("python", "def last(tokens):", "    return tokens[-1]", before="<!-- file: mine.py -->")
        + block("sh", "pessimal task mine.py:last --k 2 --d-vocab 3 --out mine.json && ls mine.json > list.txt")
        + block("console", "$ cat list.txt", "mine.json", "$ pessimal info no.pt", "pessimal: no.pt: No such file or directory")
        + block("python", "print(last((1, 2)))  # 2", "from pathlib import Path", "Path('list.txt').read_text()  # 'mine.json\\n'")
        + block("sh", "pessimal train max-of-k --out models", before="<!-- not run: torch -->")
    )  # fmt: skip
    assert play(text, tmp_path).complaints == []


def test_times_alone_are_masked():
    assert same_line("4 models in 3.2 s", "4 models in 11 s")
    assert same_line('{"seconds": 0.31, "correct": "8"}', '{"seconds": 4.0, "correct": "8"}')
    assert not same_line('{"seconds": 0.31, "correct": "8"}', '{"seconds": 0.31, "correct": "9"}')
    assert not same_line("3 models in 3.2 s", "4 models in 3.2 s")
    assert not same_line("band  2061720  0.997168", "band  2061720  0.997169")
    assert not same_line("correct>=3/4 s", "correct>=2/4 s")
    assert not same_line("sha256:a9c7...", "sha256:a9c8cf")
    assert not same_line("sha256:a9c...", "sha256:a9c7cf")


def test_a_long_number_in_the_prose_has_to_be_printed():
    text = "Right on 64,216 of 65,536, in 2,028,985 flops, 0.979858 or 97 %.\n"
    assert list(unprinted_numbers(text, "correct>=64216/65536 flops=2028985 accuracy>=0.979858")) == []
    assert list(unprinted_numbers(text, "2028986 0.979858")) == [(1, "2,028,985")]
    assert list(unprinted_numbers(text, "2028985 0.979857")) == [(1, "0.979858")]


# What is seen without running: the document, and the complaint.
SEEN = {
    "a language that nothing plays": (block("rust", "fn main() {}"), "line 1: no block of 'rust' is played"),
    "a reason that is none": (block("sh", "make test", before="<!-- not run: boring -->"), "line 2: 'boring' is no reason"),
    "a reason without a need": (block("text", "a", before="<!-- not run: slow -->"), "line 2: nothing in this block would be run"),
    "a comment that stands alone": ("<!-- not run: slow -->\n\n" + block("sh", "make test"), "line 1: a comment that is read for a block"),
    "a comment spelt in another way": (block("sh", "make test", before="<!-- not-run: slow -->"), "line 1: a comment that is read"),
    "a command in text": (block("text", "pessimal info a.pt"), "line 1: a command in a block that is not played"),
    "a command that is indented": ("Run\n\n    pessimal info a.pt\n", "line 3: a command in an indented block"),
    "a console without a prompt": (block("console", "pessimal strategies"), "line 1: a console begins with"),
    "dots": (block("sh", "pessimal info ..."), "line 2: ... stands for something else"),
    "brackets": (block("python", "path = '<your model>'"), "line 2: <your model> stands for something else"),
    "foo": (block("python", "foo = 1"), "line 2: foo stands for something else"),
    "capitals": (block("sh", "pessimal info MODEL.safetensors"), "line 2: MODEL.safetensors stands for something else"),
    "capitals in a path": (block("sh", "pessimal info weights/MODEL.pt"), "line 2: MODEL.pt stands for something else"),
    "capitals after a flag": (block("sh", "pessimal prove a.pt --out CERT"), "line 2: CERT stands for something else"),
    "a command that is none": (block("sh", "pessimal proof a.pt"), "line 2: there is no command 'proof'"),
    "an option that is none": (block("sh", "pessimal prove a.pt --buget 3"), "no option --buget (did you mean --budget"),
    "a value that is none": (block("sh", "pessimal check a.cert b.pt --arithmetic float16"), "'float16' is not one of"),
    "a word that is missing": (block("sh", "pessimal prove"), "WEIGHTS is missing"),
    "a strategy that is none": (block("sh", "pessimal prove a.pt --strategy bandit"), "unknown strategy 'bandit'"),
    "an option of another strategy": (block("sh", "pessimal prove a.pt --strategy band --option rank=3"), "no option 'rank'"),
    "a budget that is none": (block("sh", "pessimal prove a.pt --budget lots"), "budget 'lots' is not"),
    "a task that is none": (block("sh", "pessimal prove a.pt --task maxofk"), "no task maxofk"),
    "seeds that are none": (block("sh", "pessimal train max-of-k --seeds 3:1 --out a"), "empty range"),
    "a reproduction that is none": (block("sh", "pessimal reproduce main"), "no reproduction main"),
    "a target that is none": (block("sh", "make tests", before="<!-- not run: slow -->"), "line 3: no target tests"),
    "a script that is none": (block("sh", "python3 reference/chek.py a", before="<!-- not run: slow -->"), "no script reference/chek.py"),
    "a program that is none": (block("sh", "formal/build/verified a", before="<!-- not run: coq -->"), "no script formal/build/verified"),
    "an extra that is none": (block("sh", "pip install '.[tests]'", before="<!-- not run: network -->"), "no extra tests"),
    "a tool that is none": (block("sh", "curl example"), "curl is not known here"),
    "a file that nobody ships": (
        block("sh", "pessimal prove weights/max9.pt", before="<!-- not run: slow -->"), "line 3: weights/max9.pt is not here"),
    "a mention with an option that is none": ("Use `pessimal check CERT --stict`.\n", "line 1: check has no option --stict"),
    "a mention of no command": ("Use `pessimal verify CERT`.\n", "line 1: there is no command 'verify'"),
    "a mention with a value that is none": ("`pessimal prove W --claim margin`\n", "line 1: prove: --claim 'margin' is not one of"),
    "a mention of no target": ("Run `make tests`.\n", "line 1: no target tests"),
    "a mention of no script": ("Run `python scripts/ship.py`.\n", "line 1: no script scripts/ship.py"),
    "a mention of no task": ("`pessimal train TASK --recipe pizza`\n", "line 1: train has no option --recipe"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", SEEN)
def test_what_can_be_seen_without_running_is_complained_about(wrong):
    text, says = SEEN[wrong]
    complaints = complaints_about_text(text)
    assert len(complaints) == 1
    assert says in complaints[0]


def test_what_is_not_run_is_looked_at_as_closely():
    text = block("sh", "pessimal prove a.pt --buget 3", before="<!-- not run: slow -->")
    assert "no option --buget" in complaints_about_text(text)[0]


def test_a_file_that_an_earlier_command_writes_is_no_complaint():
    text = block(
        "sh",
        "pessimal train max-of-k --seeds 7 --out models/",
        "pessimal prove models/max4_v64_seed7.safetensors --out a.cert",
        "pessimal check a.cert models/max4_v64_seed7.safetensors",
        before="<!-- not run: torch -->",
    )
    assert complaints_about_text(text) == []
    assert missing_inputs("pessimal check a.cert models/b.safetensors", {"a.cert"}) == ["models/b.safetensors"]


def test_quotes_comments_and_shipped_names_in_capitals_are_no_complaints():
    assert complaints_about_line("python3 -c 'print(\"ABC\")' > out.txt  # see MODEL") == []
    assert complaints_about_line("cat README.md LICENSE && pessimal strategies") == []
    assert complaints_about_mention("pessimal check CERT WEIGHTS") == []
    assert complaints_about_mention("pessimal prove FILE --strategy NAME --out CERT") == []
    assert complaints_about_mention("pessimal formal export") == []
    assert complaints_about_mention("pessimal report --out") == []


def test_commands_are_read_from_shells_and_consoles():
    (shell,) = blocks_of(block("sh", "# first", "ls \\", "  -l", "", "make test"))
    assert [(command.text, command.line) for command in commands_of(shell)] == [("ls   -l", 3), ("make test", 6)]
    (console,) = blocks_of(block("console", "$ ls", "a", "", "b", "$ cat a"))
    assert [(command.text, command.shown) for command in commands_of(console)] == [("ls", ("a", "b")), ("cat a", ())]


def test_blocks_in_lists_and_with_longer_fences_are_found():
    text = "- item\n\n  ```sh\n  ls\n  ```\n\n````text\n```\nnot a fence\n````\n"
    assert [(one.language, one.line, one.follows) for one in blocks_of(text)] == [("sh", 3, False), ("text", 7, True)]
