"""The command line: arguments, exit codes and terminals; the work is done by `pessimal.api` and the run folders.

Contents:
    main.py — dispatch, errors to exit codes.
    model_flags.py — flags shared by commands that read weights.
    terminal.py — progress, tables, the `--json` line.
    train.py, info.py, prove.py, check.py, strategies.py, analyse.py, report.py, demo.py — one command each.
    answers.py — what `prove` says beside the verdict.
    certificates.py — where `prove` puts a certificate when nobody says where.
    commands.py — all commands.
    convert.py — `pessimal convert`.
    fields.py — kinds of fields of commands.
    help.py — groups, examples, version.
    parsing.py — words to a command.
    tables.py — tables that can be read at any width.
    files.py — the files that a command line names.
    formal.py — `pessimal formal export`.
    frontier.py — `pessimal frontier`.
    reproduce.py — `pessimal reproduce`.
    streams.py — standard streams that cannot end a command.
    sweep.py — `pessimal sweep`.
    task.py — `pessimal task`.
    train_modular.py — `pessimal train modular-addition`.
"""
