"""Requests whose head says in odd ways where their content ends; chunks themselves are in `chunks`."""

from __future__ import annotations

from tests.core.http1.corpus.case import BAD, CODING, Case, Seen, accept, either, refuse

POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
ABC = Seen("POST", body=b"abc")
EMPTY = Seen("POST")
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def length(value: bytes) -> bytes:
    return POST + b"content-length:" + value + b"\r\n\r\nabc"


def coding(value: bytes) -> bytes:
    return POST + b"transfer-encoding:" + value + b"\r\n\r\n" + CHUNKS


def both(*fields: bytes) -> bytes:
    return POST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + CHUNKS


LENGTHS = {
    "spaces and tabs": accept(length(b" \t 3 \t "), ABC),
    "no space": accept(length(b"3"), ABC),
    "leading zero": either(length(b" 03"), ABC),
    "many leading zeros": either(length(b" 0000000000000000000003"), ABC),
    "plus": refuse(length(b" +3")),
    "minus": refuse(length(b" -3")),
    "minus nought": refuse(length(b" -0")),
    "hexadecimal": refuse(length(b" 0x3")),
    "hexadecimal digit": refuse(length(b" a")),
    "octal": refuse(length(b" 0o3")),
    "decimal point": refuse(length(b" 3.0")),
    "exponent": refuse(length(b" 3e0")),
    "underscore": refuse(length(b" 3_0")),
    "leading underscore": refuse(length(b" _3")),
    "quoted": refuse(length(b' "3"')),
    "empty": refuse(length(b"")),
    "blank": refuse(length(b"  ")),
    "two words": refuse(length(b" 3 3")),
    "a word after it": refuse(length(b" 3 abc")),
    "list of equals": refuse(length(b" 3, 3")),
    "list of others": refuse(length(b" 3, 4")),
    "list without space": refuse(length(b" 3,3")),
    "comma after": refuse(length(b" 3,")),
    "comma before": refuse(length(b" ,3")),
    "semicolon": refuse(length(b" 3;")),
    "parameter": refuse(length(b" 3;a=b")),
    "beyond 64 bits": refuse(length(b" 18446744073709551619")),
    "beyond 63 bits": refuse(length(b" 9223372036854775811"), frozenset((400, 413))),
    "beyond everything": refuse(length(b" " + b"9" * 200)),
    "wide digit": refuse(length(b" \xef\xbc\x93")),
    "superscript digit": refuse(length(b" \xb3")),
    "no-break space": refuse(length(b" \xa03")),
    "vertical tab before": refuse(length(b" \x0b3")),
    "vertical tab after": refuse(length(b" 3\x0b")),
    "form feed before": refuse(length(b"\x0c3")),
    "form feed after": refuse(length(b"3\x0c")),
    "nul after": refuse(length(b" 3\0")),
    "nul before": refuse(length(b" \x003")),
    "carriage return before": refuse(length(b" \r3")),
    "carriage return after": refuse(length(b" 3\r")),
    "folded": refuse(length(b"\r\n 3")),
    "folded by a tab": refuse(length(b"\r\n\t3")),
    "folded after": refuse(length(b" 3\r\n ")),
    "folded digits": refuse(length(b" 3\r\n 0")),
    "twice the same": refuse(length(b" 3\r\ncontent-length: 3")),
    "twice": refuse(length(b" 3\r\ncontent-length: 30")),
    "twice, once empty": refuse(length(b" 3\r\ncontent-length:")),
    "twice, once odd": refuse(length(b" x\r\nContent-Length: 3")),
    "twice in other letters": refuse(length(b" 3\r\nCONTENT-LENGTH: 0")),
    "thrice": refuse(length(b" 3\r\ncontent-length: 3\r\ncontent-length: 3")),
    "twice, apart": refuse(length(b" 3\r\nx: 1\r\ncontent-length: 0")),
    "named by an underscore": either(
        POST + b"content_length: 3\r\n\r\n", EMPTY, absent=frozenset((b"content_length",))
    ),
    "nought": accept(POST + b"content-length: 0\r\n\r\n", EMPTY),
    "none": accept(POST + b"\r\n", EMPTY),
    "space before the colon": refuse(POST + b"content-length : 3\r\n\r\nabc"),
    "tab before the colon": refuse(POST + b"content-length\t: 3\r\n\r\nabc"),
    "no colon": refuse(POST + b"content-length 3\r\n\r\nabc"),
    "vertical tab in front of the name": refuse(POST + b"\x0bcontent-length: 3\r\n\r\nabc"),
    "space in front of the name": refuse(POST + b" content-length: 3\r\n\r\nabc"),
    "nul after the name": refuse(POST + b"content-length\0: 3\r\n\r\nabc"),
}

CODINGS = {
    "plain": accept(coding(b" chunked"), ABC),
    "in other letters": accept(coding(b" cHuNkEd"), ABC),
    "no space": accept(coding(b"chunked"), ABC),
    "spaces and tabs": accept(coding(b" \t chunked \t"), ABC),
    "gzip": refuse(coding(b" gzip"), CODING),
    "gzip, chunked": refuse(coding(b" gzip, chunked"), CODING),
    "chunked, gzip": refuse(coding(b" chunked, gzip"), CODING),
    "identity": refuse(coding(b" identity"), CODING),
    "identity, chunked": refuse(coding(b" identity, chunked"), CODING),
    "chunked, identity": refuse(coding(b" chunked, identity"), CODING),
    "chunked, chunked": refuse(coding(b" chunked, chunked"), CODING),
    "chunked,chunked": refuse(coding(b"chunked,chunked"), CODING),
    "chunked chunked": refuse(coding(b" chunked chunked"), CODING),
    "xchunked": refuse(coding(b" xchunked"), CODING),
    "chunkedx": refuse(coding(b" chunkedx"), CODING),
    "chunk": refuse(coding(b" chunk"), CODING),
    "nonsense": refuse(coding(b" cow"), CODING),
    "empty": refuse(coding(b""), CODING),
    "comma before": refuse(coding(b" ,chunked"), CODING),
    "comma after": refuse(coding(b" chunked,"), CODING),
    "comma alone": refuse(coding(b" ,"), CODING),
    "parameter": refuse(coding(b" chunked;q=1"), CODING),
    "parameter after a space": refuse(coding(b" chunked ; a=b"), CODING),
    "semicolon": refuse(coding(b" chunked;"), CODING),
    "double quotes": refuse(coding(b' "chunked"'), CODING),
    "single quotes": refuse(coding(b" 'chunked'"), CODING),
    "vertical tab before": refuse(coding(b" \x0bchunked"), CODING),
    "vertical tab after": refuse(coding(b" chunked\x0b"), CODING),
    "form feed before": refuse(coding(b" \x0cchunked"), CODING),
    "form feed after": refuse(coding(b" chunked\x0c"), CODING),
    "nul before": refuse(coding(b" \0chunked"), CODING),
    "nul after": refuse(coding(b" chunked\0"), CODING),
    "carriage return before": refuse(coding(b" \rchunked")),
    "carriage return after": refuse(coding(b" chunked\r")),
    "line feed before": refuse(coding(b" \nchunked")),
    "line feed after": refuse(coding(b" chunked\n")),
    "no-break space before": refuse(coding(b" \xa0chunked"), CODING),
    "next line before": refuse(coding(b" \xc2\x85chunked"), CODING),
    "kelvin sign": refuse(coding(b" chun\xe2\x84\xaaed"), CODING),
    "folded": refuse(coding(b"\r\n chunked")),
    "folded by a tab": refuse(coding(b"\r\n\tchunked")),
    "folded after": refuse(coding(b" chunked\r\n x")),
    "folded blank after": refuse(coding(b" chunked\r\n ")),
    "folded within": refuse(coding(b" chun\r\n ked")),
    "folded list": refuse(coding(b" identity,\r\n chunked")),
    "twice": refuse(coding(b" chunked\r\ntransfer-encoding: chunked"), CODING),
    "identity before": refuse(coding(b" identity\r\ntransfer-encoding: chunked"), CODING),
    "identity after": refuse(coding(b" chunked\r\ntransfer-encoding: identity"), CODING),
    "empty before": refuse(coding(b"\r\ntransfer-encoding: chunked"), CODING),
    "empty after": refuse(coding(b" chunked\r\ntransfer-encoding:"), CODING),
    "gzip in another field": refuse(coding(b" gzip\r\ntransfer-encoding: chunked"), CODING),
    "named by an underscore": either(
        POST + b"transfer_encoding: chunked\r\n\r\n", EMPTY, absent=frozenset((b"transfer_encoding",))
    ),
    "space before the colon": refuse(POST + b"transfer-encoding : chunked\r\n\r\n" + CHUNKS),
    "tab before the colon": refuse(POST + b"transfer-encoding\t: chunked\r\n\r\n" + CHUNKS),
    "nul after the name": refuse(POST + b"transfer-encoding\0: chunked\r\n\r\n" + CHUNKS),
    "space in front of the name": refuse(POST + b" transfer-encoding: chunked\r\n\r\n" + CHUNKS),
    "vertical tab in front of the name": refuse(POST + b"\x0btransfer-encoding: chunked\r\n\r\n" + CHUNKS),
    "behind a bare line feed": refuse(POST + b"x: a\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS),
    "behind a bare carriage return": refuse(POST + b"x: a\rtransfer-encoding: chunked\r\n\r\n" + CHUNKS),
    "in HTTP/1.0": refuse(b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, CODING),
    "on a GET": accept(
        b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, Seen("GET", body=b"abc")
    ),
}

BOTH = {
    "length first": refuse(both(b"content-length: 13", b"transfer-encoding: chunked")),
    "coding first": refuse(both(b"transfer-encoding: chunked", b"content-length: 13")),
    "length of nought": refuse(both(b"content-length: 0", b"transfer-encoding: chunked")),
    "odd length": refuse(both(b"transfer-encoding: chunked", b"content-length: x")),
    "empty length": refuse(both(b"transfer-encoding: chunked", b"content-length:")),
    "identity": refuse(both(b"content-length: 3", b"transfer-encoding: identity"), CODING),
    "empty coding": refuse(both(b"content-length: 3", b"transfer-encoding:"), CODING),
    "odd coding": refuse(both(b"content-length: 3", b"transfer-encoding: xchunked"), CODING),
    "other letters": refuse(both(b"CONTENT-LENGTH: 13", b"tRANSFER-eNCODING: CHUNKED")),
    "in HTTP/1.0": refuse(
        b"POST / HTTP/1.0\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, CODING
    ),
    "coding named by Connection": refuse(
        both(b"connection: transfer-encoding", b"content-length: 13", b"transfer-encoding: chunked")
    ),
    "length named by Connection": refuse(
        both(b"connection: content-length", b"content-length: 13", b"transfer-encoding: chunked")
    ),
    "coding hidden by a fold": refuse(both(b"content-length: 13", b"x: y", b" transfer-encoding: chunked")),
    "on a GET": refuse(
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 13\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, BAD
    ),
}

FRAMING: dict[str, Case] = {
    f"{group}: {name}": case
    for group, table in (("content-length", LENGTHS), ("transfer-encoding", CODINGS), ("both", BOTH))
    for name, case in table.items()
}
