import pytest

from tests.observability.chart import Rendered, render


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    """Render the chart with its default objective."""
    return render()
