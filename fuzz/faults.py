"""The faults that tests cause and their outcomes, and the fuzzer's findings; each with its test."""

from __future__ import annotations

_PLUGIN, _MODELS, _PACKAGE = "tests/plugin/", "tests/models/", "tests/package/"
_KEPT = "tests/workbench/test_damaged_measurements.py::"
FLOOR = 1e-5
"""The largest relative difference of a number between processors."""
FOUND: tuple[tuple[str, str], ...] = (
    (
        "a reference in the hub's cache that is not text, is too long for a path, or leads out of the cache",
        f"{_MODELS}test_model_hub.py::test_a_reference_that_names_no_commit_leads_nowhere",
    ),
    (
        "an old pickle with gigabytes of text, for which memory was reserved first",
        f"{_MODELS}test_model_untrusted.py::test_a_text_of_gigabytes_in_an_old_pickle_takes_no_memory",
    ),
    (
        "a pickle with a name of kilobytes, which torch's own refusal of it is searched for in quadratic time",
        f"{_MODELS}test_plain_pickles.py::test_more_than_tensors_is_refused",
    ),
    (
        "an archive that requires a newer reader",
        f"{_MODELS}test_model_untrusted.py::test_an_archive_for_a_later_reader_is_refused",
    ),
    (
        "a tensor with one axis of 0 and another that is too large for a number",
        f"{_MODELS}test_model_untrusted.py::test_a_tensor_of_no_numbers_with_an_axis_beyond_number",
    ),
    (
        "a tokenizer on which its Rust library panics, which is not an `Exception` and prints a stack",
        f"{_MODELS}test_model_tokens.py::test_a_tokenizer_that_fails_when_read_leaves_the_weights",
    ),
    (
        "a package without a name in the list of models",
        f"{_MODELS}test_model_describe.py::test_a_wrong_list_of_models_is_an_error",
    ),
    (
        "a kept measurement without the null or the reference that its claim is judged by",
        f"{_KEPT}test_an_entry_without_what_its_claim_is_judged_by_is_none",
    ),
    (
        "a kept measurement with numbers so large that no report could hold the result",
        f"{_KEPT}test_rubbish_with_a_right_checksum_is_no_entry",
    ),
    (
        "results that are nested too deep, or contain half a character",
        "tests/report/test_report_document.py::test_damaged_files_are_told",
    ),
    (
        "results with counts beyond 64 bits, which a table cannot hold",
        "tests/report/test_report_document.py::test_each_damage_is_found_and_named_and_nothing_written",
    ),
    (
        "results without the optional fields of the model: no page could be made",
        "tests/report/test_report_page.py::test_what_a_report_may_leave_out_of_a_model_is_left_out",
    ),
)
FAULTS: tuple[tuple[str, str, str], ...] = (
    (
        "pipes, devices, sockets and folders instead of files",
        "refused at once",
        f"{_PACKAGE}test_reading.py::test_only_regular_files_are_opened_and_nothing_is_waited_for",
    ),
    (
        "files longer than their kind can be, including files that claim to be empty",
        "read up to the limit, then refused",
        f"{_PACKAGE}test_reading.py::test_a_file_is_read_up_to_its_limit_and_no_further",
    ),
    (
        "headers and configurations whose sizes do not match the tensors",
        "refused before anything is built or hashed",
        f"{_MODELS}test_model_untrusted.py::test_what_a_configuration_claims_is_looked_at_first",
    ),
    (
        "GGUF headers with one value or byte changed",
        "refused, or the same weights",
        f"{_MODELS}test_model_gguf_lies.py::test_no_number_in_a_header_gives_other_weights",
    ),
    (
        "Ctrl-C and SIGTERM while a check is running",
        "exit 2 and a report that says it is partial; the same command resumes from there",
        f"{_PLUGIN}test_plugin_ended_early.py::test_what_was_finished_is_reported_as_a_part",
    ),
    (
        "SIGKILL while a check is running",
        "the previous report stays; finished measurements are kept and used",
        f"{_PLUGIN}test_plugin_ended_early.py::test_a_process_that_is_killed_loses_only_what_was_at_work",
    ),
    (
        "SIGKILL while a file is written",
        "the old file is intact; the next write removes the leftovers",
        f"{_PACKAGE}test_writing.py::test_what_a_killed_process_left_goes_with_the_next_write",
    ),
    (
        "recording that is killed between its two files",
        "the next run says so, and measures the twin",
        f"{_PLUGIN}test_plugin_twin.py::test_recording_that_is_ended_between_its_two_files_is_noticed",
    ),
    (
        "a full disk while a file is written",
        "the old file is intact",
        f"{_PACKAGE}test_writing.py::test_a_full_disk_leaves_the_old_file",
    ),
    (
        "a full disk while a run writes cache, report and log",
        "the old report is intact, one paragraph, exit 1; if only the cache fails, the run ends normally",
        f"{_PLUGIN}test_plugin_load.py::test_a_full_disk_leaves_old_files_and_is_said",
    ),
    (
        "ten runs at once on one folder and one cache",
        "ten exit codes as for one run, one complete report, the cache used by the next run",
        f"{_PLUGIN}test_plugin_load.py::test_ten_runs_at_once_leave_one_whole_report",
    ),
    (
        "an xdist worker that is killed",
        "the run fails and names the test; the other checks are reported",
        f"{_PLUGIN}test_plugin_load.py::test_a_worker_that_is_lost_fails_the_run_and_the_rest_is_reported",
    ),
    (
        "a sweep's worker that is killed, then its scheduler",
        "another worker takes over; exit 2, and the same command resumes: nothing is lost, nothing measured twice",
        f"{_PLUGIN}test_plugin_sweep.py::test_nothing_is_lost_and_nothing_measured_twice_whatever_is_killed",
    ),
    (
        "folders where report, verdicts or log cannot be written",
        "refused before anything is measured",
        f"{_PLUGIN}test_plugin_files.py::test_a_place_that_cannot_be_written_is_refused_before_measuring",
    ),
    (
        "a cache on a mount that reports other owners or modes",
        "reported once; nothing is kept",
        f"{_KEPT}test_a_place_where_nothing_would_be_trusted_is_told_once",
    ),
    (
        "another number of threads, tests in another order, no cache",
        "the same results.json except for times and the number of threads",
        f"{_PLUGIN}test_plugin_same_numbers.py::test_threads_and_order_change_no_bit",
    ),
    (
        "two processes instead of one",
        "the same results.json except for times",
        f"{_PLUGIN}test_plugin_whole_run.py::test_two_processes_give_the_same_results_and_find_them_as_recorded",
    ),
    (
        "other linear algebra kernels, as on another processor",
        "the same verdicts; numbers within a tolerance (below)",
        f"{_PLUGIN}test_plugin_same_numbers.py::test_other_kernels_give_the_same_verdicts_and_nearly_the_same_numbers",
    ),
)
