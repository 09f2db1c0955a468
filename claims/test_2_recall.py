"""Section 2: a bundle of nearly orthogonal vectors can be taken apart again."""

import pytest

from vsa_checks.sections import recall


@pytest.mark.claim("bundle-recall")
def test_bundle_recall(subject, check):
    """The members of a bundle of ten tokens have larger dot products with it than any other token."""
    check(subject, recall.bundle_recall)
