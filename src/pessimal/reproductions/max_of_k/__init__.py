"""Published tables and figures about models that take the largest of k tokens, and what counting adds to them.

Contents:
    groups.py — the rows of the published tables.
    main_table.py, lengths.py, singular_ratio.py, percentiles.py, counting_frontier.py — from the ledger alone.
    qk_residual.py, gap_histograms.py, faithfulness.py, ablations.py, improvements.py — from the models as well.
    matrices.py — from the shipped models, without a sweep.
"""
