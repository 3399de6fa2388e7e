<?php
// A small shop on mysqli. It prints everything it sees. Arguments: host, port.
mysqli_report(MYSQLI_REPORT_OFF);

function open(array $argv): mysqli {
    $db = mysqli_init();
    if (!$db->real_connect($argv[1], 'app', 'secret', 'shop', (int) $argv[2])) {
        exit("connect: " . mysqli_connect_error() . "\n");
    }
    return $db;
}

function show(string $what, $value): void {
    echo $what, ': ', json_encode($value, JSON_UNESCAPED_UNICODE | JSON_PARTIAL_OUTPUT_ON_ERROR), "\n";
}

function query(mysqli $db, string $sql): void {
    $r = $db->query($sql);
    if ($r === false) {
        show(substr($sql, 0, 60), [$db->errno, $db->sqlstate, $db->error]);
    } elseif ($r === true) {
        show(substr($sql, 0, 60), ['affected' => $db->affected_rows, 'id' => $db->insert_id, 'warnings' => $db->warning_count, 'info' => $db->info]);
    } else {
        show(substr($sql, 0, 60), [$r->fetch_all(MYSQLI_ASSOC), $r->fetch_fields() ? count($r->fetch_fields()) : 0, 'warnings' => $db->warning_count]);
        $r->free();
    }
}

$a = open($argv);
$b = open($argv);
$c = open($argv);
$a->set_charset('utf8mb4');
query($a, 'CREATE TABLE items (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE, price DECIMAL(10,2), at DATETIME(3), data LONGBLOB) CHARACTER SET utf8mb4');
query($a, "INSERT INTO items (name, price, at) VALUES ('tea', 2.50, '2024-02-29 12:34:56.789'), ('coffee', 3.20, NULL)");
query($a, "INSERT INTO items (name, price) VALUES ('Grüße 日本語 🍵', 1)");
show('last id', $a->query('SELECT LAST_INSERT_ID()')->fetch_row());
query($b, 'SELECT id, name, price, at FROM items ORDER BY id');
query($b, 'SELECT LAST_INSERT_ID()');

// Errors, and that the connection lives on.
query($a, "INSERT INTO items (name) VALUES ('tea')");
query($a, 'SELEC 1');
query($a, 'SELECT * FROM nothing');
query($a, "INSERT INTO items (name, price) VALUES ('odd', 'x')");
query($a, 'SHOW WARNINGS');
query($a, "SELECT 1/0, CAST('12x' AS INT)");
query($a, 'SHOW WARNINGS');
query($a, 'SELECT ROW_COUNT(), FOUND_ROWS()');

// Transactions of three clients, which have to share two connections.
foreach (['commit', 'rollback'] as $end) {
    $a->begin_transaction();
    query($a, "UPDATE items SET price = price + 1 WHERE name = 'tea'");
    query($b, "SELECT price FROM items WHERE name = 'tea'");
    query($c, "SELECT COUNT(*) FROM items");
    query($a, "SELECT price FROM items WHERE name = 'tea'");
    $a->$end();
    query($b, "SELECT price FROM items WHERE name = 'tea'");
}
$a->autocommit(false);
query($a, "DELETE FROM items WHERE name = 'coffee'");
query($a, 'SAVEPOINT s');
query($a, 'DELETE FROM items');
query($a, 'ROLLBACK TO s');
query($a, 'SELECT COUNT(*) FROM items');
$a->rollback();
$a->autocommit(true);

// Session state that belongs to one client only.
query($a, "SET @mine = 'a', time_zone = '+05:00', sql_mode = 'ANSI_QUOTES'");
query($b, "SET time_zone = '-03:00'");
query($a, 'SELECT @mine, @@time_zone, "name" FROM items ORDER BY id LIMIT 1');
query($b, 'SELECT @mine, @@time_zone, @@sql_mode = "ANSI_QUOTES"');
query($c, 'SELECT @mine, @@sql_mode = "ANSI_QUOTES"');
query($a, 'CREATE TEMPORARY TABLE own AS SELECT id FROM items');
query($a, 'SELECT COUNT(*) FROM own');
query($b, 'SELECT COUNT(*) FROM own');
query($a, "SET sql_mode = ''");
show('change user', $a->change_user('app', 'secret', 'shop'));
query($a, 'SELECT @mine, @@time_zone = @@global.time_zone');
show('wrong user', [@$c->change_user('nobody', 'x', 'shop'), $c->errno, $c->error]);
$c = open($argv);

// Prepared statements, in turn on two clients.
$insert = $a->prepare('INSERT INTO items (name, price, data) VALUES (?, ?, ?)');
$select = $b->prepare('SELECT name, price, LENGTH(data), MD5(data) FROM items WHERE name = ? OR price > ?');
for ($i = 0; $i < 5; $i++) {
    $name = "made $i ✓";
    $price = $i + 0.25;
    $data = $i == 2 ? null : str_repeat(chr($i) . "\0'\\", 1000 * $i);
    $insert->bind_param('sds', $name, $price, $data);
    show("insert $i", [$insert->execute(), $insert->affected_rows, $insert->insert_id, $insert->errno]);
    $high = 100.0;
    $select->bind_param('sd', $name, $high);
    $select->execute();
    show("select $i", $select->get_result()->fetch_all());
}
$name = 'tea';
show('duplicate', [@$insert->execute() ? 1 : 0, $insert->errno, $insert->sqlstate]);
query($c, 'ALTER TABLE items ADD COLUMN more INT DEFAULT 7');
$all = $b->prepare('SELECT * FROM items WHERE id = ?');
$one = 1;
$all->bind_param('i', $one);
$all->execute();
show('all', $all->get_result()->fetch_all(MYSQLI_ASSOC));
query($c, 'ALTER TABLE items DROP COLUMN more');
$all->execute();
show('all again', $all->get_result()->fetch_all(MYSQLI_ASSOC));
show('no such', [$a->prepare('SELECT nothing FROM items') ? 1 : 0, $a->errno]);

// Long data, a cursor, and values of many megabytes.
$big = $a->prepare("INSERT INTO items (name, data) VALUES ('big', ?)");
$null = null;
$big->bind_param('b', $null);
$sum = hash_init('md5');
for ($i = 0; $i < 20; $i++) {
    $part = str_repeat(pack('N', $i * 7919), 1 << 18);
    hash_update($sum, $part);
    $big->send_long_data(0, $part);
}
show('long data', [$big->execute(), $big->errno]);
$md5 = hash_final($sum);
$r = $b->query("SELECT LENGTH(data), MD5(data) = '$md5' FROM items WHERE name = 'big'");
show('big', $r->fetch_row());
$r = $c->query("SELECT data FROM items WHERE name = 'big'", MYSQLI_USE_RESULT);
show('big read', md5($r->fetch_row()[0]) === $md5);
$r->free();
$text = str_repeat('0123456789abcdef', 17 << 16);
show('large statement', $c->query("SELECT LENGTH('$text'), MD5('$text')")->fetch_row());
$cursor = $b->prepare('SELECT id, name FROM items ORDER BY id');
$cursor->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
show('cursor', [$cursor->execute(), $cursor->errno]);
$cursor->bind_result($id, $name);
$seen = [];
while ($cursor->fetch()) {
    $seen[] = $name;
}
show('seen', $seen);
$cursor->close();

// Several statements, procedures.
$a->multi_query("SELECT 1; SELECT 'two', 2; DELETE FROM items WHERE name = 'odd'; SELECT nothing");
do {
    if ($r = $a->store_result()) {
        show('result', $r->fetch_all());
    } else {
        show('no result', [$a->affected_rows, $a->errno]);
    }
} while ($a->more_results() && $a->next_result());
show('end', [$a->errno, $a->error]);
query($c, 'CREATE PROCEDURE twice(IN n INT) BEGIN SELECT n; SELECT n * 2; END');
$b->multi_query('CALL twice(21)');
do {
    if ($r = $b->store_result()) {
        show('procedure', $r->fetch_all());
    }
} while ($b->more_results() && $b->next_result());

show('ping', $a->query('DO 1'));
show('databases', [$a->select_db('information_schema'), $a->query('SELECT DATABASE()')->fetch_row(), $a->select_db('no_such'), $a->errno]);
query($b, 'SELECT DATABASE()');
show('server', explode('-', $a->server_info)[0]);
$a->close();
query($b, 'SELECT COUNT(*), SUM(LENGTH(name)) FROM items');
