# SPDX-License-Identifier: Apache-2.0
"""A report of a run as one HTML page: summary, utilisation, heat maps, bytes, roofline.

`ActivityLog` collects while a device runs, `RunRecord` holds that with the run's counters, and
`write_report` makes the page of it.
"""
