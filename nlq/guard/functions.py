"""The functions that may be called, each as an example call over `SAMPLE_COLUMNS`.

The allow-list of syntax-tree classes and of their arguments is read off these examples, so that a function is allowed
in exactly the forms listed here, and tests/guard run every example on Spark before and after the rewrite.
"""

from __future__ import annotations

SAMPLE_COLUMNS = {
    "s": "STRING",
    "s2": "STRING",
    "n": "DOUBLE",
    "n2": "DOUBLE",
    "i": "INT",
    "l": "BIGINT",
    "b": "BOOLEAN",
    "d": "DATE",
    "d2": "DATE",
    "t": "TIMESTAMP",
    "t2": "TIMESTAMP",
    "a": "ARRAY<STRING>",
    "a2": "ARRAY<STRING>",
}
"""Column → Spark type of the table that the examples read."""

AGGREGATES = (
    "count(*)", "count(s)", "count(s, n)", "count(DISTINCT s)", "count(DISTINCT s, n)", "count_if(b)",
    "sum(n)", "sum(DISTINCT n)", "try_sum(n)", "avg(n)", "avg(DISTINCT n)", "mean(n)", "try_avg(n)", "min(n)", "max(t)",
    "median(n)", "mode(s)", "stddev(n)", "stddev_samp(n)", "stddev_pop(n)", "std(n)", "variance(n)", "var_samp(n)",
    "var_pop(n)", "skewness(n)", "kurtosis(n)", "corr(n, n2)", "covar_pop(n, n2)", "covar_samp(n, n2)",
    "regr_slope(n, n2)", "regr_intercept(n, n2)", "regr_r2(n, n2)",
    "percentile(n, 0.5)", "percentile_approx(n, 0.5)", "approx_percentile(n, 0.5)", "approx_count_distinct(s)",
    "max_by(s, n)", "min_by(s, n)", "bool_and(b)", "bool_or(b)", "every(b)", "some(b)",
    "any_value(i < 100)", "array_sort(collect_set(s))", "sort_array(collect_list(s))", "sort_array(array_agg(s))",
)  # fmt: skip
"""Aggregates; every one may also be used with OVER (…) and FILTER (WHERE …)."""

WINDOWED = (
    "row_number()", "rank()", "dense_rank()", "percent_rank()", "cume_dist()", "ntile(4)",
    "lag(n)", "lag(n, 1)", "lag(n, 1, 0)", "lead(n)", "lead(n, 1)", "lead(n, 1, 0)",
    "first(s)", "last(s)", "first(s, true)", "last(s, true)", "first_value(s)", "last_value(s)", "nth_value(s, 2)",
    "lag(s) IGNORE NULLS", "lead(s) IGNORE NULLS", "first_value(s) IGNORE NULLS", "last_value(s) IGNORE NULLS",
)  # fmt: skip
"""Functions that need a window; first and last are also aggregates."""

SCALARS = (
    # time
    "year(d)", "quarter(d)", "month(d)", "day(d)", "dayofmonth(d)", "dayofweek(d)", "weekday(d)", "dayofyear(d)",
    "weekofyear(d)", "hour(t)", "minute(t)", "second(t)", "extract(HOUR FROM t)", "extract(SECOND FROM t)",
    "date_part('hour', t)", "date_trunc('HOUR', t)", "trunc(d, 'MM')", "last_day(d)", "next_day(d, 'MON')",
    "date_add(d, 1)", "date_sub(d, 1)", "datediff(d, d2)", "datediff(DAY, d, d2)", "date_diff(MINUTE, t, t2)",
    "add_months(d, 1)", "months_between(d, d2)", "timestampdiff(MINUTE, t, t2)", "timestampadd(MINUTE, 1, t)",
    "dateadd(HOUR, 1, t)", "make_date(2026, 11, 20)", "make_timestamp(2026, 11, 20, 1, 2, 3)", "date(t)",
    "timestamp(d)", "to_date(s2)", "to_date(s2, 'yyyy-MM-dd')", "to_timestamp(s2)", "to_timestamp(s2, 'yyyy-MM-dd')",
    "try_to_timestamp(s)", "date_format(t, 'yyyy-MM-dd HH:mm')", "dayname(d)", "monthname(d)",
    "unix_seconds(t)", "unix_millis(t)", "unix_micros(t)", "unix_timestamp(t)", "from_unixtime(l)", "unix_date(d)",
    "timestamp_seconds(l)", "timestamp_millis(l)", "timestamp_micros(l)", "date_from_unix_date(i)",
    "from_utc_timestamp(t, 'Europe/London')", "to_utc_timestamp(t, 'Europe/London')",
    "t - INTERVAL 5 MINUTES", "t - INTERVAL '5' MINUTE", "t + INTERVAL 1 DAY",
    # numbers
    "abs(n)", "ceil(n)", "ceiling(n)", "floor(n)", "round(n)", "round(n, 2)", "bround(n, 2)", "sqrt(abs(n))", "cbrt(n)",
    "power(n, 2)", "pow(n, 2)", "exp(i)", "ln(n)", "log(n)", "log(2, n)", "log2(n)", "log10(n)", "sign(n)", "signum(n)",
    "mod(i, 3)", "i % 3", "pmod(i, 3)", "i DIV 3", "greatest(n, n2)", "least(n, n2)", "width_bucket(n, 0, 10, 5)",
    "try_divide(n, 0)", "try_add(n, n2)", "try_subtract(n, n2)", "try_multiply(n, n2)", "isnan(n)", "nanvl(n, n2)",
    "-n", "n / 2", "n * 2", "n + 1", "n - 1",
    # conditions
    "coalesce(s, s2)", "nvl(s, s2)", "nvl2(s, s2, 'x')", "ifnull(s, s2)", "nullif(n, 0)", "if(b, n, n2)",
    "zeroifnull(n)", "nullifzero(n)", "isnull(s)", "isnotnull(s)", "equal_null(s, s2)",
    "CASE WHEN b THEN n ELSE n2 END", "CASE s WHEN 'a' THEN 1 END",
    # text
    "lower(s)", "upper(s)", "lcase(s)", "ucase(s)", "trim(s)", "ltrim(s)", "rtrim(s)", "length(s)", "char_length(s)",
    "substring(s, 1, 2)", "substring(s, 2)", "substr(s, 1, 2)", "left(s, 2)", "right(s, 2)", "concat(s, s2)",
    "s || s2", "concat_ws(',', s, s2)", "replace(s, 'a', 'b')", "translate(s, 'a', 'b')", "split(s, ',')",
    "split_part(s, ',', 1)", "initcap(s)", "instr(s, 'a')", "locate('a', s)", "position('a' IN s)", "contains(s, 'a')",
    "startswith(s, 'a')", "endswith(s, 'a')", "lpad(s, 3, '0')", "rpad(s, 3, '0')", "reverse(s)", "ascii(s)",
    "regexp_extract(s, '(a+)', 1)", "regexp_replace(s, 'a+', 'b')", "regexp_like(s, '^a')", "s RLIKE '^a'",
    "s LIKE 'a%'", "s ILIKE 'A%'", "s NOT LIKE 'a%'", "levenshtein(s, s2)", "format_number(n, 2)",
    # lists
    "array(s, s2)", "array_contains(a, 'x')", "size(a)", "cardinality(a)", "array_size(a)", "array_distinct(a)",
    "array_sort(a)", "sort_array(a)", "sort_array(a, false)", "element_at(a, 1)", "try_element_at(a, 9)", "a[0]",
    "array_max(a)", "array_min(a)", "array_join(a, ',')", "arrays_overlap(a, a2)", "array_intersect(a, a2)",
    "array_union(a, a2)", "array_except(a, a2)", "array_position(a, 'x')", "array_remove(a, 'x')", "slice(a, 1, 1)",
    # casts
    "CAST(n AS STRING)", "TRY_CAST(s AS DOUBLE)", "CAST(n AS DECIMAL(18, 2))", "string(n)", "int(n)", "bigint(n)",
    "double(i)", "float(i)", "boolean(i)", "n::INT",
)  # fmt: skip
"""Functions of one row."""

GENERATORS = ("explode(a)", "explode_outer(a)", "posexplode(a)")
"""Functions that make rows; allowed as a SELECT item and in LATERAL VIEW."""

GROUPED = ("window(t, '5 minutes').start", "window(t, '10 minutes', '5 minutes').end")
"""Time buckets."""

CLOCKS = ("current_timestamp()", "current_timestamp", "now()", "current_date()", "current_date", "curdate()",
          "localtimestamp()", "unix_timestamp()")  # fmt: skip
"""The answer's as-of time; never reach the engine."""

ALL = (*AGGREGATES, *WINDOWED, *SCALARS, *GENERATORS, *GROUPED, *CLOCKS)
