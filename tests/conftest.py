"""Settings every test shares."""

from hypothesis import HealthCheck, settings

# derandomized: a red build must be red again; data generation under load is not a failure
settings.register_profile(
    "kernelscope",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("kernelscope")
