"""`python -m vsa_checks.interventions`: brings the numbers of docs/interventions.md up to date, in a checkout."""

from vsa_checks.interventions.page import bring_up_to_date

if __name__ == "__main__":
    print("docs/interventions.md was", "written." if bring_up_to_date() else "current.")
