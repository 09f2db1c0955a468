"""From a claim and its measurement to a verdict: records of claims, subjects, the judge, recorded verdicts."""
