"""Logs in twice and says as whom. Arguments: host, port, user, password, "tls" or "plain"."""
import ssl
import sys

import pymysql

for _ in range(2):
    context = None
    if sys.argv[5] == "tls":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        db = pymysql.connect(host=sys.argv[1], port=int(sys.argv[2]), user=sys.argv[3], password=sys.argv[4],
                             database="test", ssl=context)
    except pymysql.Error as e:
        print("refused:", e.args[0])
        continue
    with db.cursor() as cur:
        cur.execute("SELECT USER()")
        print(cur.fetchone()[0])
    db.close()
