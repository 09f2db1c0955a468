"""The project's packages, their versions and licences."""
