"""Which packages a wheel holds; everything else stands in pyproject.toml, which cannot add to those that it finds."""

from setuptools import find_namespace_packages, setup

BESIDE = ("claims", "fixtures")
"""Folders at the top of the checkout that become packages inside vsa_checks."""

packages = find_namespace_packages(include=["vsa_checks", "vsa_checks.*"])
for folder in BESIDE:
    packages += [f"vsa_checks.{name}" for name in find_namespace_packages(include=[folder, f"{folder}.*"])]
setup(packages=packages, package_dir={f"vsa_checks.{folder}": folder for folder in BESIDE})
