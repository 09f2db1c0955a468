"""A document in which every text that the schema leaves free tries to come alive."""

from tests.report import factory
from tests.report.factory import FakeClaim, FakeModelInfo, Json

HOSTILE = (
    '<img src="//evil.example/x" onerror="alert(1)"><script>alert(2)</script>'
    "'\"><svg onload=alert(3)>{{7*7}}{% raw %}</style></title>&amp;</td>"
)


def hostile_document() -> Json:
    """A document in which every text that the schema leaves free is hostile."""
    claim = FakeClaim(
        "claim-a",
        section=HOSTILE,
        title=HOSTILE,
        statement=HOSTILE,
        metric=HOSTILE,
        threshold_unit=HOSTILE,
        decisive=(HOSTILE,),
    )
    details = {
        HOSTILE: HOSTILE,
        "notes": [HOSTILE],
        "worst_head": HOSTILE,
        "by_head": [{"head": HOSTILE, HOSTILE: 1.0}],
        "sweep": [{"neurons_per_token": HOSTILE, HOSTILE: HOSTILE}],
        "curve": {
            "x_label": HOSTILE,
            "y_label": HOSTILE,
            "x": [1, 2],
            "series": [{"name": HOSTILE, "y": [1, 2]}],
        },
        "histogram": {"edges": [0, 1, 2], "counts": [1, 2], "x_label": HOSTILE},
        "tokens": [HOSTILE, {HOSTILE: [HOSTILE]}],
    }
    common: Json = {
        "reference": {"name": HOSTILE, "value": 0.1},
        "reason": HOSTILE,
        "recorded": {"verdict": "refuted", "reason": HOSTILE},
        "effective_flags": {HOSTILE: True, "fold_ln": False},
        "details": details,
    }
    results = [factory.result(claim, 0.9, layer=layer, matrix="W_in", **common) for layer in range(3)]
    for result in results:
        result["ci"]["unit"] = HOSTILE
    results.append(factory.result(claim, None, layer=3, matrix="W_in", reason=HOSTILE))
    model = FakeModelInfo(
        name=HOSTILE,
        location=HOSTILE,
        revision=HOSTILE,
        architecture=HOSTILE,
        dtype=HOSTILE,
        quantization=HOSTILE,
        licence=HOSTILE,
        notes=HOSTILE,
        text=False,
        text_reason=HOSTILE,
    )
    return factory.document(results, [claim], model, versions={HOSTILE: HOSTILE}, device=HOSTILE)
