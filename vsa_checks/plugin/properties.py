"""Names under which a test's report carries what the controlling process has to know, as JSON."""

RESULT_PROPERTY, CLAIM_PROPERTY = "vsa_result", "vsa_claim"
TEXT_PROPERTY, CACHE_PROPERTY = "vsa_text", "vsa_from_cache"
LOAD_PROPERTY = "vsa_load_failure"
TWIN_PROPERTY = "vsa_twin"
