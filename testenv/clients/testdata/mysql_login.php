<?php
// Logs in twice and says as whom. Arguments: host, port, user, password, "tls" or "plain".
mysqli_report(MYSQLI_REPORT_OFF);
for ($i = 1; $i <= 2; $i++) {
    $db = mysqli_init();
    $flags = $argv[5] === 'tls' ? MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT : 0;
    if (!@$db->real_connect($argv[1], $argv[3], $argv[4], 'test', (int) $argv[2], null, $flags)) {
        echo "refused: ", mysqli_connect_errno(), "\n";
        continue;
    }
    echo $db->query("SELECT USER()")->fetch_row()[0], "\n";
    $db->close();
}
