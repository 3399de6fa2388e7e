"""Usage: python3 query.py HOST PORT USER PASSWORD DATABASE STATEMENT: prints the result as JSON."""
import json
import sys

import pymysql

host, port, user, password, database, statement = sys.argv[1:]
try:
    db = pymysql.connect(host=host, port=int(port), user=user, password=password, database=database,
                         cursorclass=pymysql.cursors.DictCursor, autocommit=True)
    with db.cursor() as cursor:
        count = cursor.execute(statement)
        print(json.dumps(cursor.fetchall() if cursor.description else count))
except pymysql.MySQLError as error:
    sys.exit("error %d: %s" % error.args[:2])
