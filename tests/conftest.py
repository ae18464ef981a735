"""What every test runs under: a Git that knows nothing of this machine's settings, and no clusters by accident."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How fast examples come says something about the machine at that moment, nothing about the program.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

FOREIGN_SETTINGS = ("KUBECONFIG", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--corpus", metavar="FOLDER", help="manifests for tests/integration/test_corpus.py; see there")


@pytest.fixture(scope="session", autouse=True)
def _independent_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No identity, credential helper, hook or kubeconfig of the person who runs the tests reaches them."""
    home = tmp_path_factory.mktemp("home")
    config = home / ".gitconfig"
    config.write_text("[init]\n\tdefaultBranch = main\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in FOREIGN_SETTINGS:
            patch.delenv(name, raising=False)
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_TERMINAL_PROMPT", "0")
        yield
