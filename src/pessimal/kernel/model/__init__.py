"""From weights to the tables that theorems speak of.

Contents:
    tensors.py — tensors as exact matrices, products, the read-out.
    tables.py — token and position parts, weights and values by path.
    heads.py — a head as weights and values; widened for float32 executions.
    source.py — where tables come from.
    stand_ins.py — something simpler in the place of a table.
    words.py — what can be said of a table.
    story.py — an explanation as a source of tables.
    rounding.py — radii of float32 executions.
    folded.py, attended.py — models with an MLP: uniform attention, softmax attention.
    requirements.py — every refusal of a model.
    logits.py — many sequences at once, in integers.
"""
