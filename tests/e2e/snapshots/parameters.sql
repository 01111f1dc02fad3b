-- Whatever is known when the scan starts.
SET plan_cache_mode = force_generic_plan;
PREPARE by_account (text) AS SELECT id FROM salesforce.contact WHERE account_id = $1;
EXECUTE by_account ('001RO000000EZaiYAG');
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = $1
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZbZYAW
--= (24 rows)
EXECUTE by_account (NULL);
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = $1
--= (0 rows)
PREPARE by_accounts (text[]) AS SELECT id FROM salesforce.contact WHERE account_id = ANY ($1) LIMIT 5;
EXECUTE by_accounts (ARRAY['001RO000000EZaiYAG', '001RO000000EZajYAG']);
--> Limit
-->   Output: id
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id
-->         Remote Query: SELECT Id FROM Contact WHERE AccountId IN $1
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZb9YAG
--= 003RO000000EZbIYAW
--= 003RO000000EZbJYAW
--= (5 rows)
PREPARE some_of (numeric, bigint) AS SELECT id FROM salesforce.contact WHERE score__c > $1 ORDER BY id LIMIT $2;
EXECUTE some_of (0, 3);
--> Limit
-->   Output: id
-->   ->  Sort
-->         Output: id
-->         Sort Key: contact.id
-->         ->  Foreign Scan on salesforce.contact
-->               Output: id
-->               Remote Query: SELECT Id FROM Contact WHERE Score__c > $1
--= 003RO000000EZajYAG
--= 003RO000000EZalYAG
--= 003RO000000EZarYAG
--= (3 rows)
PREPARE like_this (text) AS SELECT id, last_name FROM salesforce.contact WHERE last_name LIKE $1;
EXECUTE like_this ('Sm%');
--> Foreign Scan on salesforce.contact
-->   Output: id, last_name
-->   Filter: (contact.last_name ~~ $1)
-->   Remote Query: SELECT Id, LastName FROM Contact WHERE LastName LIKE $1
--= 003RO000000EZb5YAG | Smith
--= 003RO000000EZbIYAW | Smith
--= 003RO000000EZboYAG | Smith
--= 003RO000000EZbpYAG | Smith
--= 003RO000000EZcUYAW | Smith
--= (10 rows)
SET plan_cache_mode = force_custom_plan;
EXECUTE by_account ('001RO000000EZaiYAG');
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZbZYAW
--= (24 rows)
EXECUTE some_of (0, 3);
--> Limit
-->   Output: id
-->   ->  Sort
-->         Output: id
-->         Sort Key: contact.id
-->         ->  Foreign Scan on salesforce.contact
-->               Output: id
-->               Remote Query: SELECT Id FROM Contact WHERE Score__c > 0
--= 003RO000000EZajYAG
--= 003RO000000EZalYAG
--= 003RO000000EZarYAG
--= (3 rows)
RESET plan_cache_mode;
SELECT id FROM salesforce.contact WHERE account_id = (SELECT min(id) FROM salesforce.account);
--> Foreign Scan on salesforce.contact
-->   Output: contact.id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = $1
-->   InitPlan 1 (returns $0)
-->     ->  Aggregate
-->           Output: min(account.id)
-->           ->  Foreign Scan on salesforce.account
-->                 Output: account.id, account.is_deleted, account.master_record_id, account.name, account.type, account.parent_id, account.billing_stree…
-->                 Remote Query: SELECT Id FROM Account
--= 003RO000000EZanYAG
--= 003RO000000EZb3YAG
--= 003RO000000EZbJYAW
--= 003RO000000EZbWYAW
--= 003RO000000EZbZYAW
--= (24 rows)
SELECT id FROM salesforce.contact WHERE created_date > now() - interval '1 day';
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE CreatedDate > $1
--= (0 rows)
SELECT id FROM salesforce.contact WHERE birthdate < current_date - 60000;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE Birthdate < $1
--= 003RO000000EZauYAG
--= 003RO000000EZavYAG
--= 003RO000000EZb5YAG
--= 003RO000000EZbAYAW
--= 003RO000000EZbFYAW
--= (24 rows)
