-- UPDATE: row by row in batches, or straight from the API's pages where its conditions are exact and nothing is returned.
UPDATE salesforce.contact SET title = 'direct' WHERE account_id = '001RO000000EZaiYAG';
--> Update on salesforce.contact
-->   ->  Foreign Update on salesforce.contact
-->         Remote Query: SELECT Id, Title FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
-->         Remote Write: update Contact, batch size 200
--= (24 rows)
UPDATE salesforce.contact SET title = 'direct' WHERE account_id = '001RO000000EZaiYAG';
--> Update on salesforce.contact
-->   ->  Foreign Update on salesforce.contact
-->         Remote Query: SELECT Id, Title FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
-->         Remote Write: update Contact, batch size 200
--= (24 rows)
UPDATE salesforce.contact SET title = 'rechecked' WHERE last_name = 'Smith';
--> Update on salesforce.contact
-->   Remote Write: update Contact, batch size 200
-->   ->  Foreign Scan on salesforce.contact
-->         Output: 'rechecked'::text, id, contact.*
-->         Filter: (contact.last_name = 'Smith'::text)
-->         Remote Query: SELECT Id, LastName, Title FROM Contact WHERE LastName = 'Smith'
--= (10 rows)
UPDATE salesforce.contact SET title = 'returned' WHERE account_id = '001RO000000EZajYAG' RETURNING id, title;
--> Update on salesforce.contact
-->   Output: id, title
-->   Remote Write: update Contact, batch size 200
-->   ->  Foreign Scan on salesforce.contact
-->         Output: 'returned'::text, id, contact.*
-->         Remote Query: SELECT Id, Title FROM Contact WHERE AccountId = '001RO000000EZajYAG'
--= 003RO000000EZb9YAG | returned
--= 003RO000000EZbIYAW | returned
--= 003RO000000EZbtYAG | returned
--= 003RO000000EZdKYAW | returned
--= 003RO000000EZdsYAG | returned
--= (10 rows)
UPDATE salesforce.contact SET title = last_name WHERE account_id = '001RO000000EZaiYAG';
--> Update on salesforce.contact
-->   Remote Write: update Contact, batch size 200
-->   ->  Foreign Scan on salesforce.contact
-->         Output: last_name, id, contact.*
-->         Remote Query: SELECT Id, LastName, Title FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
--= (24 rows)
UPDATE salesforce.contact AS c SET department = a.name FROM salesforce.account AS a WHERE a.id = c.account_id AND a.active__c;
--> Update on salesforce.contact c
-->   Remote Write: update Contact, batch size 200
-->   ->  Hash Join
-->         Output: a.name, c.id, c.*, a.*
-->         Hash Cond: (c.account_id = a.id)
-->         ->  Foreign Scan on salesforce.contact c
-->               Output: c.id, c.*, c.account_id
-->               Remote Query: SELECT Id, AccountId, Department FROM Contact
-->         ->  Hash
-->               Output: a.name, a.*, a.id
-->               ->  Foreign Scan on salesforce.account a
-->                     Output: a.name, a.*, a.id
-->                     Remote Query: SELECT Id, Name, Active__c FROM Account WHERE Active__c = TRUE
--= (231 rows)
UPDATE salesforce.contact SET name = 'cannot' WHERE account_id = '001RO000000EZaiYAG';
--> Update on salesforce.contact
-->   ->  Foreign Update on salesforce.contact
-->         Remote Query: SELECT Id, Name FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
-->         Remote Write: update Contact, batch size 200
--= ERROR 428C9: the field Name cannot be written
SELECT title, count(*) FROM salesforce.contact WHERE title IN ('rechecked', 'returned') GROUP BY 1;
--> GroupAggregate
-->   Output: title, count(*)
-->   Group Key: contact.title
-->   ->  Sort
-->         Output: title
-->         Sort Key: contact.title
-->         ->  Foreign Scan on salesforce.contact
-->               Output: title
-->               Filter: (contact.title = ANY ('{rechecked,returned}'::text[]))
-->               Remote Query: SELECT Title FROM Contact WHERE Title IN ('rechecked','returned')
--= rechecked | 7
--= returned | 10
--= (2 rows)
