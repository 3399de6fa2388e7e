"""A small shop on PyMySQL. It prints everything it sees. Arguments: host, port."""
import datetime
import decimal
import hashlib
import sys
import threading

import pymysql
import pymysql.cursors

HOST, PORT = sys.argv[1], int(sys.argv[2])


def connect(**more):
    more.setdefault("password", "secret")
    more.setdefault("database", "shop")
    return pymysql.connect(host=HOST, port=PORT, user=more.pop("user", "app"), charset="utf8mb4", **more)


def show(what, value):
    print(f"{what}: {value!r}")


def query(db, sql, args=None):
    try:
        with db.cursor() as cur:
            n = cur.execute(sql, args)
            show(sql[:60], (n, cur.lastrowid, cur.fetchall(), [d[:2] for d in cur.description or ()]))
    except pymysql.Error as e:
        show(sql[:60], (type(e).__name__, e.args))


a, b, c = connect(autocommit=True), connect(autocommit=True), connect(autocommit=False)
query(a, "CREATE TABLE p (id INT AUTO_INCREMENT PRIMARY KEY, k VARCHAR(60) UNIQUE, n DECIMAL(12,3), t DATETIME(6), j JSON, b LONGBLOB) CHARACTER SET utf8mb4")
for i in range(5):
    query(a, "INSERT INTO p (k, n, t, j, b) VALUES (%s, %s, %s, %s, %s)",
          (f"schlüssel {i} 鍵 🔑", decimal.Decimal(i) / 8, datetime.datetime(2024, 2, 29, 1, 2, 3, i), '{"i": %d}' % i, bytes(range(256)) * i))
    query(b, "SELECT id, k, n, t, j, LENGTH(b) FROM p WHERE k LIKE %s", (f"schl%{i}%",))
query(a, "INSERT INTO p (k) VALUES (%s)", ("schlüssel 1 鍵 🔑",))
query(a, "SELEC 1")
query(a, "SELECT * FROM nothing")
query(b, "SELECT LAST_INSERT_ID()")
query(a, "SELECT LAST_INSERT_ID()")
query(a, "SELECT 1/0, CAST('1x' AS INT)")
query(a, "SHOW WARNINGS")

# Transactions.
query(c, "UPDATE p SET n = 99 WHERE id = 1")
query(a, "SELECT n FROM p WHERE id = 1")
query(b, "SELECT n FROM p WHERE id = 1")
c.commit()
query(a, "SELECT n FROM p WHERE id = 1")
query(c, "DELETE FROM p")
c.rollback()
query(b, "SELECT COUNT(*) FROM p")
query(c, "SELECT COUNT(*) FROM p LOCK IN SHARE MODE")
c.rollback()

# State of one session only.
query(a, "SET @v = 'mine', time_zone = '+09:00', lc_time_names = 'de_DE'")
query(b, "SELECT @v, @@time_zone = '+09:00', @@lc_time_names")
query(a, "SELECT @v, @@time_zone, DATE_FORMAT('2024-03-05', '%W %M')")
query(a, "SELECT GET_LOCK('mine', 0), IS_USED_LOCK('mine') = CONNECTION_ID()")
query(b, "SELECT GET_LOCK('mine', 0)")
query(a, "SELECT RELEASE_LOCK('mine')")
query(b, "SELECT GET_LOCK('mine', 0), RELEASE_ALL_LOCKS()")
a.select_db("information_schema")
query(a, "SELECT DATABASE()")
query(b, "SELECT DATABASE()")
a.select_db("shop")
a.ping(reconnect=False)
a.close()
a = connect(autocommit=True, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
query(a, "SELECT @v, @@lc_time_names")

# Several statements, a procedure.
with a.cursor() as cur:
    cur.execute("SELECT 1; SELECT 'a', 'b'; UPDATE p SET n = 7 WHERE id = 2; SELECT ROW_COUNT()")
    while True:
        show("several", (cur.rowcount, cur.fetchall()))
        if not cur.nextset():
            break
query(a, "CREATE PROCEDURE double_it(INOUT n INT) BEGIN SET n = n * 2; SELECT n; END")
with a.cursor() as cur:
    cur.callproc("double_it", (21,))
    show("procedure", cur.fetchall())
    cur.execute("SELECT @_double_it_0")
    show("out", cur.fetchall())

# Large values, both ways and unbuffered.
data = hashlib.sha256(b"x").digest() * (1 << 18)
query(a, "INSERT INTO p (k, b) VALUES ('large', %s)", (data,))
with b.cursor(pymysql.cursors.SSCursor) as cur:
    cur.execute("SELECT b FROM p WHERE k = 'large'")
    show("large", [hashlib.md5(r[0]).hexdigest() for r in cur])
with b.cursor(pymysql.cursors.SSCursor) as cur:
    cur.execute("SELECT seq FROM seq_1_to_30000")
    show("streamed", sum(r[0] for r in cur))
with a.cursor() as cur:
    show("many", cur.executemany("INSERT INTO p (k, n) VALUES (%s, %s)", [(f"many {i}", i) for i in range(1000)]))
query(b, "SELECT COUNT(*), SUM(n) FROM p WHERE k LIKE 'many%'")

# Many clients at once add up right.
query(a, "CREATE TABLE acc (id INT PRIMARY KEY, v INT)")
query(a, "INSERT INTO acc VALUES (1, 0), (2, 1000)")
lost = []


def worker():
    db = connect(autocommit=False)
    try:
        for _ in range(10):
            with db.cursor() as cur:
                cur.execute("UPDATE acc SET v = v + 1 WHERE id = 1")
                cur.execute("UPDATE acc SET v = v - 1 WHERE id = 2")
            db.commit()
    except pymysql.Error as e:
        lost.append(e.args)
    finally:
        db.close()


threads = [threading.Thread(target=worker) for _ in range(6)]
for t in threads:
    t.start()
for t in threads:
    t.join()
show("lost", lost)
query(b, "SELECT id, v FROM acc ORDER BY id")

for more in ({"password": "wrong"}, {"user": "nobody"}, {"database": "no_such"}):
    try:
        connect(**more)
    except pymysql.Error as e:
        show("refused", (type(e).__name__, e.args))
