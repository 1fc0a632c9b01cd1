"""The command line: arguments, exit codes and terminals; everything else is `pessimal.api`.

Contents:
    main.py — dispatch, errors to exit codes.
    model_flags.py — flags shared by commands that read weights.
    terminal.py — progress, tables, the `--json` line.
    train.py, info.py, prove.py, check.py, strategies.py, analyse.py, report.py, demo.py — one command each.
"""
