<?php
// Usage: php mysqli.php HOST PORT USER PASSWORD DATABASE STATEMENT: prints the result as JSON.
[, $host, $port, $user, $password, $database, $statement] = $argv;
mysqli_report(MYSQLI_REPORT_OFF);
$db = mysqli_init();
if (!@$db->real_connect($host, $user, $password, $database, (int)$port)) {
    fwrite(STDERR, "error {$db->connect_errno}: {$db->connect_error}\n");
    exit(1);
}
$result = $db->query($statement);
if ($result === false) {
    fwrite(STDERR, "error {$db->errno}: {$db->error}\n");
    exit(1);
}
echo json_encode($result === true ? $db->affected_rows : $result->fetch_all(MYSQLI_ASSOC)), "\n";
