"""Fixed random seeds for every property; no deadlines, so that a slow machine does not change an outcome."""

from hypothesis import HealthCheck, settings

from sampling import examples

settings.register_profile(
    "pessimal",
    derandomize=True,
    deadline=None,
    max_examples=examples(40),
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("pessimal")
