"""What papers claim, as data, and what the figures say of it.

``load_claims`` reads ``params/claims/*.yaml``, ``evaluate_claims`` gives each claim its verdict, and ``load_published``
reads what others published from ``params/published/*.yaml``.
"""

from sfddm.claims.claim import Claim, evaluate_claims
from sfddm.claims.load import CLAIMS_FOLDER, PUBLISHED_FOLDER, load_claims, load_published
from sfddm.results.verdicts import Verdict

__all__ = [
    "CLAIMS_FOLDER",
    "PUBLISHED_FOLDER",
    "Claim",
    "Verdict",
    "evaluate_claims",
    "load_claims",
    "load_published",
]
