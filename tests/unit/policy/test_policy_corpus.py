"""Ordinary texts of spans in which there is nothing to find, and texts in which there is."""

from __future__ import annotations

import pytest

from spanward.processor.policy.privacy.detect import find

ORDINARY = r"""
GET /api/v1/users/12345/orders?limit=50&offset=100
https://shop.example.com/products/8472910483/reviews?page=2&sort=asc#top
https://cdn.example.com/assets/app.3f2a9b1c.js?v=1.2.3.4
/static/img/logo@2x.png
/@fs/home/app/node_modules/@vue/runtime-core@3.4.21/index.js
pkg:npm/%40angular/core@16.2.1
npm:lodash@4.17.21
git@github.com:org/repo.git
ssh://git@github.com/org/repo.git
docker.io/library/nginx@sha256:4f5a0a1e9c7d3b2e8f6a1c0d9e8b7a6f5e4d3c2b1a0918273645546372819101
SELECT * FROM orders WHERE id = 4839204857 AND created_at > '2026-01-02 03:04:05'
SELECT id, token FROM sessions WHERE token = $1
SELECT u.password FROM users u WHERE u.password=:password
UPDATE users SET password=%s WHERE id=%s
UPDATE users SET password=? WHERE id=?
INSERT INTO t (a,b) VALUES (200, 300, 4000), (415, 555, 2671)
INSERT INTO p VALUES (1, 2, 3, 123, 456, 7890)
SELECT 415 - 555 - 2671
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.6099.130 Safari/537.36
Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2) AppleWebKit/605.1.15 Version/17.1.2 Mobile/15E148 Safari/604.1
Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/119.0.6045.105 Electron/27.1.3.0
Go-http-client/1.1
Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A.230901.001)
python-requests/2.31.0
grpc-python/1.60.0 grpc-c/37.0.0 (linux; chttp2)
okhttp/4.12.0
Java/17.0.9
Microsoft Office/16.0.17126.20132 (Windows NT 10.0)
.NET 8.0.0.1
Edg/120.0.2210.91
kubernetes v1.28.3+k3s1
nginx/1.25.3
1.2.3.4-beta
2024.1.0.3
version=10.0.19045.3693
driver 31.0.15.4601
firmware 2.10.3.14
app version: "4.12.0.88"
assembly System.Private.CoreLib, Version=8.0.0.0, Culture=neutral, PublicKeyToken=7cec85d7bea7798e
550e8400-e29b-41d4-a716-446655440000
urn:uuid:f47ac10b-58cc-4372-a567-0e02b2c3d479
00000000-0000-0000-0000-000000000000
12345678-1234-1234-1234-123456789012
4bf92f3577b34da6a3ce929d0e0e4736
00f067aa0ba902b7
00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
6.0221e23
5b8efff798038103d269b633813fc60c
1234567890123456
9007199254740993
7300000000000000000
checkout-7d9f8b6c5d-x2k4p
ip-10-0-3-17.eu-west-1.compute.internal
node-4.us-east-1a.prod
gke-prod-pool-1-3fa2b1c0-x7vq
arn:aws:iam::123456789012:role/checkout
arn:aws:sqs:eu-west-1:123456789012:orders
arn:aws:lambda:us-east-1:123456789012:function:fn:42
projects/123456789012/locations/us-central1
2026-11-21T06:15:08.123456Z
2026-11-21 06:15:08,123
21/Nov/2026:06:15:08 +0000
Sat, 21 Nov 2026 06:15:08 GMT
20261121061508
1767225600000000001
1767225600.123456
06:15:08.123
2026-11-21 06 15 08
2026.11.21 06.15.08
06-11-2026 10:11
duration 00:00:01.2345678
PT1H30M
Traceback (most recent call last):\n  File "/app/main.py", line 42, in handler\nValueError: bad 1234
at com.example.Service$Inner.call(Service.java:123)\n\tat java.base/java.lang.Thread.run(Thread.java:833)
java.lang.NullPointerException: Cannot invoke "String.length()" because "<local1>" is null
panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/tmp/x.go:8 +0x1d
System.InvalidOperationException: at Foo.Bar() in C:\\src\\Foo.cs:line 12
Error: ENOENT: no such file or directory, open '/etc/x'
0x00007ffd5a3c1000-0x00007ffd5a3c2000
0000000000401136 <main>:
std::collections::HashMap::get::h1234567890abcdef
core::ops::function::FnOnce::call_once
Foo::Bar::Baz2
ab::cd::ef::12
52.5200, 13.4050
48.8566,2.3522
-33.8688197,151.2092955
POINT(13.404954 52.520008)
bbox=13.08,52.33,13.76,52.67
geo:52.5200,13.4050;u=35
dropoff=728%2C326&pickup=211%2C653
ORDER-2026-000123
order 1000234567
order no 555-1234
invoice 2026-11-000123
SKU 123-45-67890
PO 4500123456
ISBN 978-3-16-148410-0
ISBN-10 3-16-148410-X
EAN 4006381333931
tracking 1Z999AA10123456784
$1,234,567.89
1 234 567,89 EUR
EUR 1.234.567,89
total=1999.00 USD
100 200 300 400
123 456 789
200 000 1000
price 199 299 1999
sizes 200 300 4000
800 600 1024 768
width=800 height=600
429 Too Many Requests
HTTP 200 503 1024
[::1]:4317
localhost:3000
::
aGVsbG8gd29ybGQ=
TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24=
iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==
data:image/png;base64,iVBORw0KGgo=
9fceb02d0ae598e95dc970b74767f19372d61af8
9fceb02
d41d8cd98f00b204e9800998ecf8427e
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
1.2.3
1.2.3-rc.1+build.456
v2.0.0-alpha.1+001
^1.2.3 || ~4.5.6
00:1a:2b:3c:4d:5e
00-1A-2B-3C-4D-5E
001a.2b3c.4d5e
aa:bb:cc:dd:ee:ff:00:11
SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48
max_tokens=4096&temperature=0.7
next_token=eyJsYXN0
page_token=CAESBgoEMTIz
{"input_tokens": 120, "output_tokens": 44}
{"finish_reason":"stop","index":0,"logprobs":null}
gpt-4o-2024-08-06
claude-3-5-sonnet-20241022
meta-llama/Llama-3.1-8B-Instruct
topic-0 partition 12 offset 123456789
kafka://broker-1:9092/topic
amqp://rabbit:5672/%2F
redis://cache:6379/0
postgresql://db.internal:5432/shop?sslmode=require
jdbc:postgresql://db:5432/app?user=app
mongodb+srv://cluster0.mongodb.net/test
s3://bucket/key/2026/11/21/part-00000-4f2a.snappy.parquet
/var/log/pods/default_checkout-7d9f_0a1b/app/0.log
cpu 0.25 mem 512Mi 200m
1-2-3-4-5-6-7-8-9
12-34-56-78-90
01.02.03.04
0123456789
10.1.1.1.1
3.14159265358979
1e-10
user@localhost
user@host
root@7f3a2b1c9d0e:/app#
@Component
@app.get("/x")
foo@bar
me@
a@b.c
someone@123.45
matrix: @user:example
key=value
password reset email sent
POST /password/reset
secret santa
"password": ""
api_key=<redacted>
apikey=None
password=***
password=${DB_PASSWORD}
password={{ .Values.pw }}
Authorization header missing
missing bearer token in request
Bearer token expired
Bearer authentication required
Basic auth failed
basic information: see docs
Bearer realm="example"
tokenizer=cl100k_base
tls1.3 ECDHE-RSA-AES128-GCM-SHA256
sk-foo-bar-baz-component-version-2
task-sk-learn
risk-assessment-for-2026-q1-and-q2-planning
disk-usage-of-node-123-in-cluster-prod
mask-rcnn-resnet50-fpn-coco-2017-weights
flask-sqlalchemy-3-core-extension-1234
gh_actions
hf_hub_download
npm_config_registry
span 1 of 42: 1582 spans, 42 traces
batch 12 345 6789
extension 555 123 4567
2120 555 1234
id:415-555-2671-0001
+1 day
+12345678 bytes
offset +1234567890
GMT+0100
UTC+05:30
1 + 2345678901
diff +123456789 -987654321
score +10 20 30 40 50
time=+3.5e+10
+49 items, 20 30 40 50
x += 12345678
tz=+02:00
C++17 11 22 33 44
c++11
@@ -1234,7 +1234,9 @@
IT60 shelf
BE12 3456 units
FR12 3456 7890
GB82 WEST
DE12ABCD
SE35 5000
AL12 3456
0x1.8p3
#ff00ff
rgb(255, 255, 255)
1:2:3
12:34:56:78
2001:db8
a:b:c:d:e:f:1:2
10:20:30:40:50:60:70:80
100:200:300
slice[100:200:3]
abc:def:123
fn:1234:5678
tag:2026:latest
x::y1
mem::size_of::<u8>
a1b2::c3d4::e5f6::a7b8
deadbeef::cafe1
de::ser::v1::de
face::book1
"""


@pytest.mark.parametrize("text", ORDINARY.strip().splitlines())
def test_ordinary_texts_are_left_alone(text: str) -> None:
    """URLs, SQL, user agents, versions, ids, names of pods, times, traces, places, orders, prices: nothing is found."""
    assert [(hit.entity.value, hit.value) for hit in find(text)] == []
    assert not find(text.replace("\\n", "\n"))


@pytest.mark.parametrize(
    ("text", "entity", "value"),
    [
        ('{"token": "abc123def"}', "credential", "abc123def"),
        ("GET /cb?token=a8f9d7e6c5&x=1", "credential", "a8f9d7e6c5"),
        ("{'pwd': 'hunter2x'}", "credential", "hunter2x"),
        ("Server=db;Uid=sa;Pwd=Hunt3r2;", "credential", "Hunt3r2"),
        ("X-Api-Key: abc123def", "credential", "abc123def"),
        ("password: hunter2planted\nok", "credential", "hunter2planted"),
        ("Cookie: session=abc123; theme=dark\nHost: h", "credential", "session=abc123; theme=dark"),
        ('{"Set-Cookie":"sid=abc123def"}', "credential", "sid=abc123def"),
        ("sk-ant-api03-" + "aB3_" * 20, "api_key", "sk-ant-api03-" + "aB3_" * 20),
        ("06\u00a012\u00a034\u00a056\u00a078", "phone", "06 12 34 56 78"),
        ("+33\u202f6\u202f12\u202f34\u202f56\u202f78", "phone", "+33 6 12 34 56 78"),
        ("4111\u00a01111\u00a01111\u00a01111", "card", "4111 1111 1111 1111"),
        ("123\u201145\u20116789", "us_ssn", "123-45-6789"),
        ("alice\uff20example.com", "email", "alice@example.com"),
        ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "iban", "DE89 3704 0044 0532 0130 00"),
        ('{"q":"4111\\u00a01111\\u00a01111\\u00a01111"}', "card", "4111 1111 1111 1111"),
        ("call 415 555 2671", "phone", "415 555 2671"),
        ("peer 8.8.8.8-client", "ipv4", "8.8.8.8"),
    ],
)
def test_values_in_dumps_and_in_typeset_text_are_found(text: str, entity: str, value: str) -> None:
    """Headers, connection strings, JSON of clients, and typographic spaces, dashes and letters: the value as meant."""
    assert (entity, value) in [(hit.entity.value, hit.value) for hit in find(text)]
