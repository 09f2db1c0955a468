"""The log of the tests, pytest.html, made by pytest-html: written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from vsa_checks.writing import write_whole

FILE_NAME, PAGE = "pytest.html", "index.html"


class Log:
    """Stands between pytest-html and the file, which it would write in place."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config, self.path = config, folder.absolute() / FILE_NAME
        self.trouble = ""
        self._ours = bool(config.pluginmanager.hasplugin("html")) and not config.option.htmlpath
        if self._ours:
            # pytest-html makes the path out of this with variables and ~ in it replaced: ours is put in below.
            config.option.htmlpath = FILE_NAME
            config.option.self_contained_html = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Take the place of what pytest-html would write."""
        report = self._report()
        if report is not None and self._ours:
            report._report_path = self.path
            report._write_report = self._write

    def to_page(self) -> str:
        """The address of our page as a link from the log's."""
        where = self.path.parent if self._ours else Path(self._config.option.htmlpath or ".").absolute().parent
        return quote(os.fsencode(os.path.relpath(self.path.with_name(PAGE), where)))

    def leave_out(self) -> None:
        """Write none: there is nothing to tell."""
        report = self._report()
        if report is not None and self._ours:
            report._write_report = lambda rendered: None  # it is called once more
            self._config.pluginmanager.unregister(report)  # and does not say that it has written something

    def _report(self) -> Any:
        from pytest_html.basereport import BaseReport

        plugins = self._config.pluginmanager.get_plugins()
        return next((plugin for plugin in plugins if isinstance(plugin, BaseReport)), None)

    def _write(self, rendered: str) -> None:
        try:
            write_whole(self.path, rendered.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self.trouble = f"The log {self.path} was not written ({error.strerror})."
