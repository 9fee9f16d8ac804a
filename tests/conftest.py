"""Settings every test shares, and one little teacher that is trained once."""

import signal

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from tests.small_disk import mounted

# derandomized: a red build must be red again; data generation under load is not a failure
settings.register_profile(
    "kernelscope",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("kernelscope")


@pytest.fixture(scope="session")
def little(tmp_path_factory, worker_id):
    """A folder with ``teacher.pt``, trained on digits, and ``student.pt``, its KDA student; once for all workers.

    The teacher has 93 % of validation, so that it is no guesser; nothing else of them is to be relied on.
    """
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    folder = shared / "little"
    with FileLock(shared / "little.lock"):
        if not (folder / "student.pt").exists():
            import kernelscope as ks

            folder.mkdir(exist_ok=True)
            ks.train(ks.recipe(arch="resnet8x0.5", epochs=2)).save(folder / "teacher.pt", overwrite=True)
            student = ks.recipe(arch="resnet8x0.25", method="kda", epochs=2, batch_size=256)
            trained = ks.train(student, teacher=ks.load(folder / "teacher.pt"))
            trained.save(folder / "student.pt", overwrite=True)
    return folder


@pytest.fixture(scope="session")
def few_digits():
    """129 training digits (four batches of 32, the last joined by the one left over), 60 to validate, 60 to test."""
    from kernelscope.datasets.sources import load

    return tuple(load("digits", split).head(n) for split, n in (("train", 129), ("validation", 60), ("test", 60)))


@pytest.fixture(scope="session")
def few_digits_teacher(few_digits):
    """A network that learnt the few training digits well enough to be learnt from."""
    import kernelscope as ks

    return ks.load(ks.train(ks.recipe(arch="resnet8x0.5", epochs=8, batch_size=32), data=few_digits).last)


@pytest.fixture
def disk(tmp_path):
    """A file system of two megabytes."""
    with mounted(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run a command line in ``tmp_path``; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path / "cache"))
    from kernelscope.cli.main import main

    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)
