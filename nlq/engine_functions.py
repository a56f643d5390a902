"""Wall 2's own list of Spark functions that stay in a query's session. Everything else is removed from its registry.

Kept apart from the guard's list on purpose: a mistake in one wall must not open the other. The names are Spark's, as
they stand in the text that the guard writes.
"""

from __future__ import annotations

_AGGREGATES = """
any_value approx_count_distinct approx_percentile array_agg avg bool_and bool_or collect_list collect_set corr count
count_if covar_pop covar_samp every first first_value kurtosis last last_value max max_by mean median min min_by mode
percentile percentile_approx regr_intercept regr_r2 regr_slope skewness some std stddev stddev_pop stddev_samp sum
try_avg try_sum var_pop var_samp variance
"""
_WINDOWED = "cume_dist dense_rank lag lead nth_value ntile percent_rank rank row_number"
_TIME = """
add_months date_add date_diff date_format date_from_unix_date date_part date_sub date_trunc dateadd datediff day dayname
dayofmonth dayofweek dayofyear extract from_unixtime from_utc_timestamp hour last_day make_date make_timestamp minute
month monthname months_between next_day quarter second timestamp_micros timestamp_millis timestamp_seconds to_date
to_timestamp to_unix_timestamp to_utc_timestamp trunc try_to_timestamp unix_date unix_micros unix_millis unix_seconds
unix_timestamp weekday weekofyear window year
"""
_NUMBERS = """
abs bround cbrt ceil ceiling div exp floor greatest isnan least ln log log10 log2 mod nanvl negative nullifzero pmod pow
power round sign signum sqrt try_add try_divide try_multiply try_subtract width_bucket zeroifnull
% * + - /
"""
_CONDITIONS = """
and between coalesce equal_null if ifnull in isnotnull isnull not nullif nvl nvl2 or when
! < <= <=> = == > >=
"""
_TEXT = """
ascii btrim char_length concat concat_ws contains endswith format_number ilike initcap instr left length levenshtein
like locate lower lpad ltrim overlay position regexp_extract regexp_like regexp_replace replace reverse right rlike rpad
rtrim split split_part startswith substr substring translate trim upper
"""
_LISTS = """
array array_contains array_distinct array_except array_intersect array_join array_max array_min array_position
array_remove array_size array_sort array_union arrays_overlap cardinality element_at explode explode_outer posexplode
size slice sort_array try_element_at
"""
_CASTS = "bigint boolean date decimal double float int smallint string timestamp tinyint"

FUNCTIONS = frozenset(f"{_AGGREGATES} {_WINDOWED} {_TIME} {_NUMBERS} {_CONDITIONS} {_TEXT} {_LISTS} {_CASTS}".split())
"""Names in Spark's registry of scalar, aggregate and window functions."""

TABLE_FUNCTIONS = frozenset({"explode", "explode_outer", "posexplode"})
"""Names in Spark's registry of functions that make rows; reachable in LATERAL VIEW only."""
