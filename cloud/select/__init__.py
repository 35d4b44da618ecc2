"""Which model a request gets, and whether it is admitted at all.

The candidates are put together with the times of this moment, and a policy of `ondevice.selection` is asked.
"""
