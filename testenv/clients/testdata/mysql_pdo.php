<?php
// A small shop on PDO, with prepared statements of the server's and of PDO's own. It prints everything it sees. Arguments:
// host, port.
function show(string $what, $value): void {
    echo $what, ': ', json_encode($value, JSON_UNESCAPED_UNICODE | JSON_PARTIAL_OUTPUT_ON_ERROR), "\n";
}

function open(array $argv, bool $emulate, array $more = []): PDO {
    return new PDO("mysql:host={$argv[1]};port={$argv[2]};dbname=shop;charset=utf8mb4", 'app', 'secret', $more + [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => $emulate,
    ]);
}

function attempt(string $what, callable $f): void {
    try {
        show($what, $f());
    } catch (PDOException $e) {
        show($what, ['error' => $e->getCode(), 'info' => $e->errorInfo]);
    }
}

foreach ([false, true] as $emulate) {
    show('emulated', $emulate);
    [$a, $b, $c] = [open($argv, $emulate), open($argv, $emulate), open($argv, $emulate, [PDO::MYSQL_ATTR_FOUND_ROWS => true])];
    $a->exec('DROP TABLE IF EXISTS t');
    attempt('create', fn() => $a->exec('CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, k VARCHAR(50) UNIQUE, v TEXT, n BIGINT, f DOUBLE, d DATE) CHARACTER SET utf8mb4'));
    $insert = $a->prepare('INSERT INTO t (k, v, n, f, d) VALUES (:k, :v, :n, :f, :d)');
    $find = $b->prepare('SELECT k, v, n, f, d FROM t WHERE k = ?');
    for ($i = 0; $i < 6; $i++) {
        attempt("insert $i", function () use ($insert, $a, $i) {
            $insert->execute(['k' => "key $i", 'v' => str_repeat("ÿ€😀'\"\\", $i), 'n' => $i * 10 ** 15, 'f' => $i / 3, 'd' => $i % 2 ? null : "2024-0" . ($i + 1) . "-15"]);
            return [$insert->rowCount(), $a->lastInsertId()];
        });
        attempt("find $i", function () use ($find, $i) {
            $find->execute(["key $i"]);
            return $find->fetchAll(PDO::FETCH_ASSOC);
        });
    }
    attempt('duplicate', fn() => $insert->execute(['k' => 'key 1', 'v' => '', 'n' => 0, 'f' => 0, 'd' => null]));
    attempt('syntax', fn() => $a->query('SELEC'));
    attempt('no table', fn() => $b->prepare('SELECT * FROM nothing')->execute());
    attempt('update', fn() => $a->exec("UPDATE t SET n = 1 WHERE k = 'key 1' OR k = 'key 2'"));
    attempt('update again', fn() => $a->exec("UPDATE t SET n = 1 WHERE k = 'key 1' OR k = 'key 2'"));
    attempt('update, rows found', fn() => $c->exec("UPDATE t SET n = 1 WHERE k = 'key 1' OR k = 'key 2'"));

    // Two transactions that wait for each other: one of them is the victim.
    attempt('transaction', function () use ($a, $b) {
        $a->beginTransaction();
        $a->exec("UPDATE t SET v = 'a' WHERE k = 'key 1'");
        $seen = $b->query("SELECT v FROM t WHERE k = 'key 1'")->fetchColumn();
        $a->commit();
        return [$seen, $b->query("SELECT v FROM t WHERE k = 'key 1'")->fetchColumn(), $a->inTransaction()];
    });
    attempt('rolled back', function () use ($a, $c) {
        $a->beginTransaction();
        $a->exec('DELETE FROM t');
        $in = $a->query('SELECT COUNT(*) FROM t')->fetchColumn();
        $other = $c->query('SELECT COUNT(*) FROM t')->fetchColumn();
        $a->rollBack();
        return [$in, $other, $a->query('SELECT COUNT(*) FROM t')->fetchColumn()];
    });
    attempt('lock', function () use ($a, $b) {
        $b->exec('SET innodb_lock_wait_timeout = 1');
        $a->beginTransaction();
        $a->exec("UPDATE t SET v = 'locked' WHERE k = 'key 3'");
        try {
            $b->exec("UPDATE t SET v = 'too' WHERE k = 'key 3'");
        } finally {
            $a->rollBack();
        }
    });
    attempt('variables', function () use ($a, $b, $c) {
        $a->exec("SET @x = 5, SESSION max_join_size = 1000");
        $b->exec("SET @x = 6");
        return [$a->query('SELECT @x, @@max_join_size')->fetch(PDO::FETCH_NUM), $b->query('SELECT @x')->fetchColumn(), $c->query('SELECT @x')->fetchColumn()];
    });
    attempt('blob', function () use ($a, $b) {
        $a->exec('CREATE OR REPLACE TABLE blobs (id INT PRIMARY KEY, b LONGBLOB)');
        $data = str_repeat(pack('J', 0x1122334455667788), 1 << 20);
        $s = $a->prepare('INSERT INTO blobs VALUES (?, ?)');
        $s->bindValue(1, 1, PDO::PARAM_INT);
        $s->bindValue(2, $data, PDO::PARAM_LOB);
        $s->execute();
        $back = $b->query('SELECT b FROM blobs WHERE id = 1')->fetchColumn();
        return [strlen($back), $back === $data];
    });
    attempt('several', function () use ($c) {
        $s = $c->query("SELECT 1 AS one; SELECT 'a' AS x, 'b' AS y");
        $all = [$s->fetchAll(PDO::FETCH_ASSOC)];
        while ($s->nextRowset()) {
            $all[] = $s->fetchAll(PDO::FETCH_ASSOC);
        }
        return $all;
    });
    attempt('unbuffered', function () use ($argv, $emulate) {
        $u = open($argv, $emulate, [PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false]);
        $sum = 0;
        foreach ($u->query('SELECT seq FROM seq_1_to_20000') as $row) {
            $sum += $row[0];
        }
        return $sum;
    });
    attempt('columns', fn() => (function () use ($b) {
        $s = $b->query('SELECT id, k, f, d FROM t LIMIT 0');
        return array_map(fn($i) => $s->getColumnMeta($i), range(0, $s->columnCount() - 1));
    })());
    attempt('wrong password', fn() => new PDO("mysql:host={$argv[1]};port={$argv[2]}", 'app', 'wrong'));
    attempt('wrong database', fn() => new PDO("mysql:host={$argv[1]};port={$argv[2]};dbname=no_such", 'app', 'secret'));
    [$a, $b, $c, $insert, $find] = [null, null, null, null, null];
}
