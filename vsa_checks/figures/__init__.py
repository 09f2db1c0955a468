"""Pictures of a report: the arrays that they need beside results.json, and their drawing. Nothing here judges."""
