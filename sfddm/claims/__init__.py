"""What papers claim, as data, and what the figures say of it.

``load_claims`` reads ``params/claims/*.yaml``, ``evaluate_claims`` gives each claim its verdict.
"""

from sfddm.claims.claim import Claim, evaluate_claims
from sfddm.claims.load import CLAIMS_FOLDER, load_claims
from sfddm.results.verdicts import Verdict

__all__ = ["CLAIMS_FOLDER", "Claim", "Verdict", "evaluate_claims", "load_claims"]
