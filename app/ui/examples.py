"""Questions that show what can be asked, by role."""

from __future__ import annotations

OFFICER = (
    "Which traders have the highest cancel ratio today?",
    "Open alerts by detector and severity",
    "Market volume per minute over the last 30 minutes",
    (
        "Give me all trades performed by employees whose trades were more than 5% away from the average spread "
        "during the last earnings window"
    ),
    "Ten largest fills of the last hour",
    "Average quoted spread per symbol over the last 15 minutes",
)
BY_ROLE = {
    "supervisor": (
        "Which of my traders have the highest cancel ratio today?",
        "Ten largest fills of the last hour",
        "Orders that are still working, by symbol",
        "Market volume per minute over the last 30 minutes",
    ),
    "analyst": (
        "Average quoted spread per symbol over the last 15 minutes",
        "Open alerts by detector and severity",
        "Market volume per minute over the last 30 minutes",
        "Fills per venue and hour today",
    ),
    "engineer": (
        "How many messages landed in dead letters per reason today?",
        "What is the lag of each topic?",
        "Which instruments are listed on each venue?",
    ),
    "auditor": (
        "How many questions were asked per role today?",
        "Which questions were refused this week?",
        "Open alerts by detector and severity",
    ),
}


def examples_for(role: str) -> tuple[str, ...]:
    """Example questions of a role."""
    return BY_ROLE.get(role, OFFICER)
