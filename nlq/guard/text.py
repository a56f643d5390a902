"""Text in, syntax tree out, and back. The only place of the guard that tokenizes, parses and generates."""

from __future__ import annotations

import logging
import unicodedata
from typing import TYPE_CHECKING, ClassVar

from sqlglot.dialects.databricks import Databricks
from sqlglot.errors import ErrorLevel
from sqlglot.tokenizer_core import Token, TokenType

from nlq.guard.rules import Refused

if TYPE_CHECKING:
    from sqlglot import exp

    from nlq.guard.limits import GuardLimits

# Its fallback to "Command" logs the statement's text, which may hold personal data.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


class GuardDialect(Databricks):
    """Databricks SQL as Spark reads it."""

    class Tokenizer(Databricks.Tokenizer):
        """Spark reads a doubled quote inside a literal as that quote; sqlglot would join two literals."""

        STRING_ESCAPES: ClassVar[list[str]] = ["\\", "'", '"']


DIALECT = GuardDialect()

FORBIDDEN_TOKENS = frozenset(
    {
        TokenType.PIPE_GT,  # sqlglot rewrites pipe steps in the wrong order
        TokenType.HINT,
        TokenType.PARAMETER,
        TokenType.PLACEHOLDER,
        TokenType.SEMICOLON,
        TokenType.COLON,  # variant paths and named parameters
        TokenType.DOLLAR,
        TokenType.HEX_STRING,
        TokenType.BIT_STRING,
        TokenType.BYTE_STRING,
        TokenType.RAW_STRING,
        TokenType.HEREDOC_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.UNICODE_STRING,
        TokenType.SESSION_PARAMETER,
        TokenType.BLOCK_START,
        TokenType.BLOCK_END,
    }
)
_OPEN = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE})
_CLOSE = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END})
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


def check_characters(sql: str, max_chars: int) -> str:
    """Return the statement with plain newlines and without a final semicolon.

    Raises:
        Refused: EMPTY, TOO_LONG, CHARACTER or SUBSTITUTION.
    """
    if len(sql) > max_chars:
        raise Refused("TOO_LONG")
    sql = sql.replace("\r\n", "\n").strip()
    sql = sql[:-1].rstrip() if sql.endswith(";") else sql
    if not sql:
        raise Refused("EMPTY")
    if "${" in sql:
        raise Refused("SUBSTITUTION")
    if not sql.isascii() or not sql.isprintable():
        for character in sql:
            if character not in "\t\n" and unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
                raise Refused("CHARACTER")
    return sql


def parse(sql: str, limits: GuardLimits) -> exp.Expr:
    """Parse exactly one statement.

    Raises:
        Refused: TOKEN, NESTING, PARSE, EMPTY or MANY_STATEMENTS.
    """
    try:
        tokens = DIALECT.tokenize(sql)
        _check_tokens(tokens, limits)
        statements = DIALECT.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql)
    except Refused:
        raise
    except Exception as error:  # any fault of the parser is a refusal, RecursionError among them
        raise Refused("NESTING" if isinstance(error, RecursionError) else "PARSE") from error
    found = [statement for statement in statements if statement is not None]
    if not found:
        raise Refused("EMPTY")
    if len(found) != 1 or len(statements) != 1:
        raise Refused("MANY_STATEMENTS")
    return found[0]


def generate(tree: exp.Expr) -> str:
    """Write the tree as Spark SQL without comments.

    Raises:
        Refused: UNSTABLE when the generator cannot express it, SUBSTITUTION when `${` appears.
    """
    try:
        sql = tree.sql(DIALECT, comments=False, copy=True, unsupported_level=ErrorLevel.RAISE)
    except Exception as error:
        raise Refused("NESTING" if isinstance(error, RecursionError) else "UNSTABLE") from error
    if "${" in sql:
        raise Refused("SUBSTITUTION")
    return sql


def _check_tokens(tokens: list[Token], limits: GuardLimits) -> None:
    nesting = 0
    for i, token in enumerate(tokens):
        kind = token.token_type
        if kind in FORBIDDEN_TOKENS:
            raise Refused("TOKEN", token.text)
        if kind in _OPEN:
            nesting += 1
            if nesting > limits.max_nesting:
                raise Refused("NESTING")
        elif kind in _CLOSE:
            nesting -= 1
        elif kind == TokenType.WINDOW and i + 1 < len(tokens) and tokens[i + 1].token_type == TokenType.L_PAREN:
            # Spark's window() function; sqlglot takes it for a WINDOW clause when it is the first GROUP BY key.
            tokens[i] = Token(
                TokenType.VAR, token.text, line=token.line, col=token.col, start=token.start, end=token.end
            )
