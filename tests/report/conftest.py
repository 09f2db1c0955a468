"""What the tests of the report share: one large document, and one browser."""

from collections.abc import Iterator

import pytest

from tests.report import factory
from tests.report.browser import Browser
from tests.report.factory import Json
from vsa_checks.report import render


@pytest.fixture(scope="session")
def large_document() -> Json:
    return factory.large()


@pytest.fixture(scope="session")
def large_text(large_document: Json) -> str:
    """Its page."""
    return render(large_document)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless chromium. Without one the tests fail and say how to get it; they never pass unseen."""
    try:
        started = Browser(tmp_path_factory.mktemp("chromium"))
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)
    with started:
        yield started
