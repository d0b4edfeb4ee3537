"""Laws of the contracts: subclass one under pytest, and a new part is tested."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.stores")
